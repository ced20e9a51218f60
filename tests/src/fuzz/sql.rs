//! SQL text: whatever it says, a session answers with rows or an error, and goes on.
//!
//! Statements about pipelines are left out: they would speak to brokers that are not there.

use std::time::Duration;

use futures::TryStreamExt;
use server::mysql::{Answer, Login, SqlError, SqlSession};
use tokio::time::timeout;

use super::Target;
use super::node::FuzzNode;

/// A statement may take long; then it is cancelled, as by a client that goes.
const PATIENCE: Duration = Duration::from_millis(500);
/// Real statements: what the golden files of the end-to-end tests ask.
const GOLDEN: &[&str] = &[
    include_str!("../../sql/select.slt"),
    include_str!("../../sql/tables.slt"),
    include_str!("../../sql/types.slt"),
    include_str!("../../sql/errors.slt"),
    include_str!("../../sql/variables.slt"),
];

pub(super) struct SqlTarget {
    node: &'static FuzzNode,
    session: Option<Box<dyn SqlSession>>,
}

impl SqlTarget {
    pub(super) fn new() -> anyhow::Result<Self> {
        let mut target = Self { node: FuzzNode::get()?, session: None };
        for statement in [
            "CREATE TABLE IF NOT EXISTS t (a BIGINT, b VARCHAR(20), c DOUBLE, d DECIMAL(10, 2), e DATETIME(3), j JSON) ORDER BY (a)",
            "CREATE TABLE IF NOT EXISTS u (a BIGINT NOT NULL, b TEXT)",
        ] {
            target.execute(statement).map_err(|error| anyhow::anyhow!("{statement}: {}", error.message))?;
        }
        Ok(target)
    }

    fn execute(&mut self, sql: &str) -> Result<String, SqlError> {
        let login = Login {
            user: "root".to_owned(),
            database: Some("default".to_owned()),
            connection_id: 1,
            peer: "fuzz".to_owned(),
            attributes: Default::default(),
        };
        let (session, node) = (&mut self.session, self.node);
        let answering = async {
            let mut open = match session.take() {
                Some(open) => open,
                None => node.node.sessions.open(login).await?,
            };
            let answer = open.execute(sql).await;
            let way = match answer {
                Ok(Answer::Done { .. }) => Ok("done".to_owned()),
                Ok(Answer::Rows { schema, mut stream }) => {
                    let mut rows = 0;
                    while let Some(batch) = stream.try_next().await? {
                        rows += batch.num_rows();
                    }
                    Ok(format!("{} columns, rows: {}", schema.fields().len().min(8), rows > 0))
                }
                Err(error) => Err(error),
            };
            *session = Some(open);
            way
        };
        match node.runtime.block_on(async { timeout(PATIENCE, answering).await }) {
            Ok(way) => way,
            Err(_) => Ok("cancelled".to_owned()),
        }
    }
}

impl Target for SqlTarget {
    fn seeds(&self) -> Vec<Vec<u8>> {
        let mut statements = Vec::new();
        for golden in GOLDEN {
            for record in golden.split("\n\n") {
                let mut lines = record.lines().skip_while(|line| line.starts_with('#'));
                let Some(first) = lines.next() else { continue };
                if first.starts_with("query") || first.starts_with("statement") {
                    let statement: Vec<&str> = lines.take_while(|line| *line != "----").collect();
                    statements.push(statement.join("\n").into_bytes());
                }
            }
        }
        statements.push(
            b"SELECT a, count(*) FROM t JOIN u USING (a) WHERE b LIKE '%x%' GROUP BY 1 ORDER BY 2 LIMIT 3".to_vec(),
        );
        statements
    }

    fn words(&self) -> &[&[u8]] {
        &[
            b"SELECT ",
            b" FROM t ",
            b" WHERE ",
            b" GROUP BY ",
            b" ORDER BY ",
            b" LIMIT ",
            b"(",
            b")",
            b",",
            b"'",
            b"`",
            b"\"",
            b"--",
            b"/*",
            b"*/",
            b";",
            b"\\",
            b"@@",
            b"NULL",
            b"::",
            b" OR ",
            b" AND ",
            b" NOT ",
            b" UNION ALL ",
            b"*",
            b"-",
            b"/0",
            b"CAST(",
            b" AS ",
            b"INTERVAL '1' DAY",
            b"9223372036854775808",
            b"1e400",
            b"\0",
            b"\xff",
            b" CASE WHEN ",
            b" END ",
            b"DESCRIBE ",
            b"EXPLAIN ",
            b"SHOW ",
            b"SET ",
            b"DEFAULT ",
            b"DECIMAL(38, 10)",
            b"now()",
            b"((((((((((((((((",
        ]
    }

    fn take(&mut self, input: &[u8]) -> Result<String, String> {
        let text = String::from_utf8_lossy(input);
        if text.to_ascii_lowercase().contains("pipeline") {
            return Ok("left out".to_owned());
        }
        match self.execute(&text) {
            Ok(way) => Ok(way),
            Err(error) => Ok(format!("error {}", error.code)),
        }
    }
}
