//! What only a real Kafka does. Each test is skipped by name where there is none (`tests/components/README.md`).

mod codecs;
mod gaps;
mod holes;
mod query;
mod restart;
mod several;
mod start;
mod topics;

use millrace_tests::Sql;

/// Rows, error rows, filtered and skipped offsets of the pipeline's streams are together the offsets that were committed (I1).
async fn assert_every_offset_is_accounted_for(sql: &mut Sql) {
    let accounts = "SELECT stream_id, committed_offset - start_offset, \
                    `rows` + errors + filtered + skipped + expired + truncated FROM system.streams";
    for row in sql.rows(accounts).await.unwrap() {
        assert_eq!(row[1], row[2], "I1: stream {:?}", row[0]);
    }
}
