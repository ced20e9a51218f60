//! Makes a plan end soon after its statement has: the engine pauses when leaves are read, and a join can compute for minutes between
//! two reads, holding its memory, its pins and one of the threads all the while.
//!
//! So whatever joins pauses after so many batches of its own as well, and a nested-loop join, which may find nothing for as long as
//! it likes, asks at each step whether anybody still wants to know.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::NestedLoopJoinExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use tokio_util::sync::CancellationToken;

/// `plan`, which ends with an error soon after `ended` is cancelled, if nobody has dropped it by then.
pub(super) fn interruptible(plan: Arc<dyn ExecutionPlan>, ended: &CancellationToken) -> Result<Arc<dyn ExecutionPlan>> {
    let wrapped = plan.transform_up(|node| {
        if node.children().len() < 2 {
            return Ok(Transformed::no(node));
        }
        let node = match node.downcast_ref::<NestedLoopJoinExec>() {
            Some(join) => checked(join, ended)?.unwrap_or(node),
            None => node,
        };
        Ok(Transformed::yes(Arc::new(CooperativeExec::new(node)) as Arc<dyn ExecutionPlan>))
    });
    wrapped.data()
}

/// The join with its filter checked; `None` where it has none.
fn checked(join: &NestedLoopJoinExec, ended: &CancellationToken) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(filter) = join.filter() else { return Ok(None) };
    let expression = Arc::new(Checked { inner: Arc::clone(filter.expression()), ended: ended.clone() });
    let filter = JoinFilter::new(expression, filter.column_indices().to_vec(), Arc::clone(filter.schema()));
    let (left, right) = (Arc::clone(join.left()), Arc::clone(join.right()));
    let projection = join.projection().as_ref().map(|columns| columns.to_vec());
    let join = NestedLoopJoinExec::try_new(left, right, Some(filter), join.join_type(), projection)?;
    Ok(Some(Arc::new(join)))
}

/// An expression that fails once its statement has ended.
#[derive(Clone, Debug)]
struct Checked {
    inner: Arc<dyn PhysicalExpr>,
    ended: CancellationToken,
}

impl PartialEq for Checked {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for Checked {}

impl Hash for Checked {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl PhysicalExpr for Checked {
    fn data_type(&self, input: &Schema) -> Result<DataType> {
        self.inner.data_type(input)
    }

    fn nullable(&self, input: &Schema) -> Result<bool> {
        self.inner.nullable(input)
    }

    fn return_field(&self, input: &Schema) -> Result<FieldRef> {
        self.inner.return_field(input)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        if self.ended.is_cancelled() {
            return Err(DataFusionError::Execution("the statement has ended".to_owned()));
        }
        self.inner.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let inner = children.pop().expect("it has one child");
        Ok(Arc::new(Self { inner, ended: self.ended.clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;
    use futures::StreamExt;

    use super::*;

    /// It finds nothing, and reads its leaves too seldom to be stopped there.
    const ENDLESS: &str = "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b \
                           WHERE a.value * b.value % 7 = 8";

    #[tokio::test]
    async fn a_join_that_nobody_waits_for_computes_nothing_more() {
        let context = SessionContext::new();
        let plan = context.sql(ENDLESS).await.unwrap().create_physical_plan().await.unwrap();
        let ended = CancellationToken::new();
        let plan = interruptible(plan, &ended).unwrap();
        let mut rows = datafusion::physical_plan::execute_stream(plan, context.task_ctx()).unwrap();
        ended.cancel();
        let error = rows.next().await.unwrap().unwrap_err();
        assert!(error.to_string().contains("has ended"), "{error}");
    }

    #[tokio::test]
    async fn what_a_plan_yields_stays_the_same() {
        let context = SessionContext::new();
        let sql = "SELECT a.value, b.value FROM generate_series(1, 5) a JOIN generate_series(1, 5) b ON a.value < b.value \
                   UNION ALL SELECT a.value, b.value FROM generate_series(1, 3) a JOIN generate_series(2, 4) b ON a.value = b.value";
        let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let wrapped = interruptible(Arc::clone(&plan), &CancellationToken::new()).unwrap();
        assert_eq!(wrapped.schema(), plan.schema());
        let rows = datafusion::physical_plan::collect(wrapped, context.task_ctx()).await.unwrap();
        assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 10 + 2);
    }
}
