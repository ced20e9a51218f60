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
    let mut seen = Seen::default();
    let partitions = sql.rows("SELECT stream_id, `partition` FROM system.streams").await?;
    let partition_of = |stream: &str| -> anyhow::Result<i32> {
        let row = partitions.iter().find(|row| row[0].as_deref() == Some(stream));
        let row = row.ok_or_else(|| anyhow::anyhow!("system.streams does not know stream {stream}"))?;
        Ok(row[1].as_deref().unwrap_or_default().parse()?)
    };
    let text = |cell: &Option<String>| cell.clone().unwrap_or_default();
    for row in sql.rows("SELECT _stream, _offset, seq, body FROM events").await? {
        let hash = payload_hash(&payload(text(&row[2]).parse()?, &text(&row[3])));
        seen.add(partition_of(&text(&row[0]))?, text(&row[1]).parse()?, hash);
    }
    for row in sql.rows("SELECT _stream, _offset, payload FROM `events$errors`").await? {
        seen.add(partition_of(&text(&row[0]))?, text(&row[1]).parse()?, payload_hash(text(&row[2]).as_bytes()));
    }
    Ok(seen)
}
