//! What a WHERE says of `_partition` and `_offset` narrows the ranges that are read. Pure, and only ever on the safe side:
//! the engine filters the rows again.

use catalog::{Offset, OffsetRange};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use crate::write::source::TopicRange;

/// Whether `filter` says something that narrows ranges.
pub(super) fn narrows(filter: &Expr) -> bool {
    comparison(filter).is_some()
}

/// What is left of `ranges` under all of `filters`.
pub(super) fn narrowed(ranges: &[TopicRange], filters: &[Expr]) -> Vec<TopicRange> {
    let comparisons: Vec<Comparison> = filters.iter().filter_map(comparison).collect();
    let left = ranges.iter().map(|range| comparisons.iter().fold(range.clone(), |range, by| by.narrow(range)));
    left.filter(|range| !range.range.is_empty()).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Partition,
    Offset,
}

/// `column operator number`.
#[derive(Clone, Copy, Debug)]
struct Comparison {
    of: Of,
    operator: Operator,
    number: i64,
}

fn comparison(filter: &Expr) -> Option<Comparison> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter else { return None };
    let (column, operator, literal) = match (left.as_ref(), right.as_ref()) {
        (Expr::Column(column), Expr::Literal(literal, _)) => (column, *op, literal),
        (Expr::Literal(literal, _), Expr::Column(column)) => (column, op.swap()?, literal),
        _ => return None,
    };
    let of = match column.name.as_str() {
        "_partition" => Of::Partition,
        "_offset" => Of::Offset,
        _ => return None,
    };
    let is_comparison =
        matches!(operator, Operator::Eq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq);
    let number = match literal {
        ScalarValue::Int32(Some(number)) => i64::from(*number),
        ScalarValue::Int64(Some(number)) => *number,
        ScalarValue::UInt32(Some(number)) => i64::from(*number),
        ScalarValue::UInt64(Some(number)) => i64::try_from(*number).ok()?,
        _ => return None,
    };
    is_comparison.then_some(Comparison { of, operator, number })
}

impl Comparison {
    fn narrow(self, range: TopicRange) -> TopicRange {
        match self.of {
            Of::Partition if self.holds(i64::from(range.partition)) => range,
            Of::Partition => TopicRange { range: OffsetRange::new(range.range.start, range.range.start), ..range },
            Of::Offset => {
                let at = Offset(u64::try_from(self.number).unwrap_or(0));
                let is_below = self.number < 0;
                let after = if is_below { at } else { Offset(at.0 + 1) };
                let OffsetRange { start, end } = range.range;
                let (start, end) = match self.operator {
                    Operator::Eq if is_below => (start, start),
                    Operator::Eq => (start.max(at), end.min(after)),
                    Operator::Lt => (start, end.min(at)),
                    Operator::LtEq => (start, end.min(after)),
                    Operator::Gt => (start.max(after), end),
                    _ => (start.max(at), end),
                };
                TopicRange { range: OffsetRange::new(start, end.max(start)), ..range }
            }
        }
    }

    fn holds(self, value: i64) -> bool {
        match self.operator {
            Operator::Eq => value == self.number,
            Operator::Lt => value < self.number,
            Operator::LtEq => value <= self.number,
            Operator::Gt => value > self.number,
            _ => value >= self.number,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::logical_expr::{col, lit};

    use super::*;

    fn left(filters: &[Expr]) -> Vec<(i32, u64, u64)> {
        let range = |partition| TopicRange {
            topic: Arc::from("t"),
            incarnation: Arc::from(""),
            partition,
            range: OffsetRange::new(Offset(10), Offset(20)),
        };
        let ranges = narrowed(&[range(0), range(1)], filters);
        ranges.iter().map(|range| (range.partition, range.range.start.0, range.range.end.0)).collect()
    }

    #[test]
    fn only_what_can_hold_is_read() {
        let (partition, offset) = (|| col("_partition"), || col("_offset"));
        assert_eq!(left(&[]), [(0, 10, 20), (1, 10, 20)]);
        assert_eq!(left(&[partition().eq(lit(1_i32)), offset().gt_eq(lit(15_i64))]), [(1, 15, 20)]);
        assert_eq!(left(&[lit(12_i64).gt_eq(offset()), partition().lt(lit(1_i32))]), [(0, 10, 13)]);
        assert_eq!(left(&[offset().gt(lit(12_i64)), offset().lt(lit(14_i64))]), [(0, 13, 14), (1, 13, 14)]);
        assert_eq!(left(&[offset().eq(lit(19_i64))]), [(0, 19, 20), (1, 19, 20)]);
        for nothing in [lit(-1_i64), lit(20_i64), lit(9_i64)] {
            assert_eq!(left(&[offset().eq(nothing)]), []);
        }
        assert_eq!(left(&[offset().gt(lit(-5_i64))]), [(0, 10, 20), (1, 10, 20)]);
        assert_eq!(left(&[offset().lt_eq(lit(-1_i64))]), []);
        assert!(!narrows(&col("a").eq(lit(1_i64))) && !narrows(&offset().not_eq(lit(1_i64))));
    }
}
