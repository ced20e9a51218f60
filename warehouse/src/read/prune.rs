//! Which parts a predicate can be true in, judged by what the catalog knows of them. A pure function: reads nothing.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::Statistics;
use datafusion::common::pruning::PrunableStatistics;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;

/// Lists longer than this are not compared item by item.
const IN_LIST_MAX: usize = 100;

/// For each of `parts` parts whether a row of it may satisfy `predicate`, which is over columns of `schema`. `known` is what
/// is known of each part, for the columns of `judged`. What cannot be judged is kept: the predicate is applied to the rows
/// again.
pub fn kept(
    predicate: Option<&Arc<dyn PhysicalExpr>>,
    schema: &SchemaRef,
    known: &[Arc<Statistics>],
    judged: &SchemaRef,
    parts: usize,
) -> Vec<bool> {
    let all = || vec![true; parts];
    let Some(predicate) = predicate.filter(|_| parts > 0) else { return all() };
    assert_eq!(known.len(), parts, "each part is judged by its own statistics");
    let builder =
        PruningPredicateBuilder::new().with_file_schema(Arc::clone(schema)).with_max_in_list_size(IN_LIST_MAX);
    let Some(pruning) = builder.build(Arc::clone(predicate)) else { return all() };
    match pruning.prune(&PrunableStatistics::new(known.to_vec(), Arc::clone(judged))) {
        Ok(kept) => kept,
        Err(error) => {
            tracing::debug!(%error, "parts cannot be judged by this predicate; all are read");
            all()
        }
    }
}
