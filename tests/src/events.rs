//! The events that kill and prefix tests produce: their payload can be rebuilt from the row that it became.

use rand::Rng;
use rand::rngs::StdRng;

use crate::{Broker, Seen, Sql, payload_hash};

/// The DDL of the table and the pipeline that take events.
pub fn ddl(broker: &Broker, settings: &str) -> [String; 2] {
    [
        "CREATE TABLE events (seq BIGINT NOT NULL, body VARCHAR(200) NOT NULL) ORDER BY (seq)".to_owned(),
        format!(
            "CREATE PIPELINE events_in INTO events AS SELECT seq, body FROM KAFKA (brokers = '{}', topic = '{}', \
             format = 'json', start = 'earliest') WITH ({settings})",
            broker.bootstrap, broker.topic
        ),
    ]
}

/// The payload of a good event.
pub fn payload(seq: i64, body: &str) -> Vec<u8> {
    format!(r#"{{"seq":{seq},"body":"{body}"}}"#).into_bytes()
}

/// A random event; one in `bad_in` is cut, and must become an error row.
pub fn random_payload(random: &mut StdRng, seq: i64, bad_in: u32) -> Vec<u8> {
    let body: String = (0..random.random_range(10..80)).map(|_| random.random_range('a'..='z')).collect();
    let mut payload = payload(seq, &body);
    if bad_in > 0 && random.random_ratio(1, bad_in) {
        payload.truncate(payload.len() / 2);
    }
    payload
}

/// Every row and every error row that a query sees, by partition.
///
/// # Errors
/// If a query fails.
pub async fn seen(sql: &mut Sql) -> anyhow::Result<Seen> {
    seen_of(sql, "true").await
}

/// The same of those streams alone for which this condition holds in `system.streams`.
///
/// # Errors
/// If a query fails.
pub async fn seen_of(sql: &mut Sql, which: &str) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    let streams = sql.rows(&format!("SELECT stream_id, `partition`, {which} FROM system.streams")).await?;
    let partition_of = |stream: &str| -> anyhow::Result<Option<i32>> {
        let row = streams.iter().find(|row| row[0].as_deref() == Some(stream));
        let row = row.ok_or_else(|| anyhow::anyhow!("system.streams does not know stream {stream}"))?;
        let is_meant = row[2].as_deref() == Some("1");
        Ok(is_meant.then(|| row[1].as_deref().unwrap_or_default().parse()).transpose()?)
    };
    let text = |cell: &Option<String>| cell.clone().unwrap_or_default();
    for row in sql.rows("SELECT _stream, _offset, seq, body FROM events").await? {
        let Some(partition) = partition_of(&text(&row[0]))? else { continue };
        let hash = payload_hash(&payload(text(&row[2]).parse()?, &text(&row[3])));
        seen.add(partition, text(&row[1]).parse()?, hash);
    }
    for row in sql.rows("SELECT _stream, _offset, payload FROM `events$errors`").await? {
        let Some(partition) = partition_of(&text(&row[0]))? else { continue };
        seen.add(partition, text(&row[1]).parse()?, payload_hash(text(&row[2]).as_bytes()));
    }
    Ok(seen)
}
