//! SQL golden files (`tests/sql/*.slt`): what a file may say, and whether a server answers as it says.
//!
//! The format is sqllogictest's, with a few words of our own; `tests/sql/README.md` describes it. Owns reading, running and
//! rewriting a file; which files there are is the test's.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::{Broker, Row, Sql};

/// How long `eventually` waits.
const PATIENCE: Duration = Duration::from_secs(30);

/// How the rows of a query are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compared {
    /// As they come.
    InOrder,
    /// Sorted by their text.
    Sorted,
    /// Each expected line stands somewhere in the answer.
    Contains,
    /// As they come, asked again until they are right.
    Eventually,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Topic { name: String, partitions: i32 },
    Produce { topic: String, partition: i32, payloads: Vec<String> },
    Ok { sql: String },
    Error { words: String, sql: String },
    Query { columns: usize, compared: Compared, sql: String, expected: Vec<String> },
}

/// A step, and the lines of the file that it was read from.
#[derive(Clone, Debug)]
struct Block {
    line: usize,
    text: String,
    step: Option<Step>,
}

/// Runs every step of the file in order; `$brokers` stands for the mock broker's address. With MILLRACE_TEST_BLESS set, the
/// answers are written into the file instead of being compared.
///
/// # Errors
/// Every step that does not go as the file says, with its line.
pub async fn run(file: &Path, sql: &mut Sql, broker: &Broker) -> anyhow::Result<()> {
    let bless = std::env::var_os("MILLRACE_TEST_BLESS").is_some();
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let (mut rewritten, mut faults) = (Vec::new(), Vec::new());
    for block in blocks(&text).with_context(|| file.display().to_string())? {
        let answer = match &block.step {
            Some(step) => take(step, sql, broker, bless).await,
            None => Ok(None),
        };
        let answer = answer.unwrap_or_else(|fault| {
            faults.push(format!("{}:{}: {fault:#}", file.display(), block.line));
            None
        });
        rewritten.push(match answer {
            Some(answer) => with_answer(&block.text, &answer),
            None => block.text,
        });
    }
    if bless {
        std::fs::write(file, rewritten.join("\n\n") + "\n")?;
    }
    ensure!(faults.is_empty(), "{}", faults.join("\n\n"));
    Ok(())
}

async fn take(step: &Step, sql: &mut Sql, broker: &Broker, bless: bool) -> anyhow::Result<Option<Vec<String>>> {
    let filled = |text: &str| text.replace("$brokers", &broker.bootstrap);
    match step {
        Step::Topic { name, partitions } => {
            broker.as_mock().context("topics are made at a mock broker")?.create_topic(name, *partitions)?;
        }
        Step::Produce { topic, partition, payloads } => {
            let producer = broker.producer_of(topic, &[])?;
            for payload in payloads {
                producer.send(*partition, Some(payload.as_bytes())).await?;
            }
        }
        Step::Ok { sql: statement } => sql.run(&filled(statement)).await?,
        Step::Error { words, sql: statement } => {
            let error = sql.error(&filled(statement)).await?;
            ensure!(error.contains(words.as_str()), "expected an error with\n  {words}\nand got\n  {error}");
        }
        Step::Query { columns, compared, sql: statement, expected } => {
            let deadline = Instant::now() + PATIENCE;
            loop {
                let rows = sql.rows(&filled(statement)).await?;
                let found: Vec<String> =
                    lines(&rows, *compared).iter().map(|line| line.replace(&broker.bootstrap, "$brokers")).collect();
                let width_fits = rows.iter().all(|row| *columns == 0 || row.len() == *columns);
                if agree(&found, expected, *compared) && width_fits {
                    return Ok(None);
                }
                let waits = *compared == Compared::Eventually && Instant::now() < deadline;
                if waits {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                } else if bless && *compared != Compared::Contains && width_fits {
                    return Ok(Some(found));
                } else {
                    bail!("expected {columns} columns and\n{}\nand got\n{}", expected.join("\n"), found.join("\n"));
                }
            }
        }
    }
    Ok(None)
}

fn agree(found: &[String], expected: &[String], compared: Compared) -> bool {
    match compared {
        Compared::Contains => expected.iter().all(|line| found.iter().any(|found| found.contains(line.as_str()))),
        _ => found == expected,
    }
}

/// Rows as lines: a space between values, `NULL`, `(empty)`, and `\n` for a line's end within a value.
fn lines(rows: &[Row], compared: Compared) -> Vec<String> {
    let value = |value: &Option<String>| match value.as_deref() {
        None => "NULL".to_owned(),
        Some("") => "(empty)".to_owned(),
        Some(text) => text.replace('\n', "\\n"),
    };
    let line = |row: &Row| row.iter().map(value).collect::<Vec<_>>().join(" ");
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    if compared == Compared::Sorted {
        lines.sort();
    }
    lines
}

fn with_answer(text: &str, answer: &[String]) -> String {
    let question = text.split("\n----").next().unwrap_or(text);
    let mut rewritten = format!("{question}\n----");
    for line in answer {
        // Writing to a String cannot fail.
        let _ = write!(rewritten, "\n{line}");
    }
    rewritten
}

/// The file's blocks: what stands between empty lines.
fn blocks(text: &str) -> anyhow::Result<Vec<Block>> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut inside = false;
    for (line, content) in (1..).zip(text.lines()) {
        if content.trim().is_empty() {
            inside = false;
        } else if inside {
            let block = blocks.last_mut().context("a block is open")?;
            block.text.push('\n');
            block.text.push_str(content);
        } else {
            blocks.push(Block { line, text: content.to_owned(), step: None });
            inside = true;
        }
    }
    for block in &mut blocks {
        block.step = step(&block.text).with_context(|| format!("line {}", block.line))?;
    }
    Ok(blocks)
}

/// What a block asks for; nothing where it is only a comment.
fn step(text: &str) -> anyhow::Result<Option<Step>> {
    let mut lines = text.lines().skip_while(|line| line.starts_with('#'));
    let Some(head) = lines.next() else { return Ok(None) };
    let body: Vec<&str> = lines.collect();
    let sql = || body.iter().take_while(|line| **line != "----").copied().collect::<Vec<_>>().join("\n");
    let words: Vec<&str> = head.split_whitespace().collect();
    let step = match words.as_slice() {
        ["topic", name, partitions] => Step::Topic { name: (*name).to_owned(), partitions: partitions.parse()? },
        ["produce", topic, partition] => {
            let payloads = body.iter().map(|line| (*line).to_owned()).collect();
            Step::Produce { topic: (*topic).to_owned(), partition: partition.parse()?, payloads }
        }
        ["statement", "ok"] => Step::Ok { sql: sql() },
        ["statement", "error", ..] => {
            let (_, words) = head.split_once("error").context("the head has this word")?;
            Step::Error { words: words.trim().to_owned(), sql: sql() }
        }
        ["query", rest @ ..] => {
            let (columns, compared) = query_head(rest)?;
            let expected = body.iter().skip_while(|line| **line != "----").skip(1).map(|line| (*line).to_owned());
            Step::Query { columns, compared, sql: sql(), expected: expected.collect() }
        }
        _ => bail!("{head:?} is none of topic, produce, statement ok, statement error, query"),
    };
    Ok(Some(step))
}

/// `IT`, `IT rowsort`, `contains`, `IT eventually`.
fn query_head(words: &[&str]) -> anyhow::Result<(usize, Compared)> {
    let compared = |word: &str| match word {
        "rowsort" => Ok(Compared::Sorted),
        "contains" => Ok(Compared::Contains),
        "eventually" => Ok(Compared::Eventually),
        other => bail!("{other:?} is none of rowsort, contains, eventually"),
    };
    match words {
        ["contains"] => Ok((0, Compared::Contains)),
        [types] => Ok((types.len(), Compared::InOrder)),
        [types, word] => Ok((types.len(), compared(word)?)),
        _ => bail!("query takes its columns' types and a word at most"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_block_by_block() {
        let text = "# about\n\n# why\nstatement error no such\nSELECT\n  1\n\nquery IT rowsort\nSELECT 1, 'a'\n----\n1 a\n\n\ntopic t 2\n";
        let steps: Vec<Option<Step>> = blocks(text).unwrap().into_iter().map(|block| block.step).collect();
        let query = Step::Query {
            columns: 2,
            compared: Compared::Sorted,
            sql: "SELECT 1, 'a'".to_owned(),
            expected: vec!["1 a".to_owned()],
        };
        assert_eq!(
            steps,
            [
                None,
                Some(Step::Error { words: "no such".to_owned(), sql: "SELECT\n  1".to_owned() }),
                Some(query),
                Some(Step::Topic { name: "t".to_owned(), partitions: 2 }),
            ]
        );
    }

    #[test]
    fn a_word_that_is_not_known_is_an_error_with_its_line() {
        let error = blocks("statement ok\nSELECT 1\n\nquerry I\n").unwrap_err();
        assert!(format!("{error:#}").contains("line 4"), "{error:#}");
    }

    #[test]
    fn an_answer_takes_the_place_of_the_one_before() {
        let answer = ["2".to_owned()];
        assert_eq!(with_answer("query I\nSELECT 2\n----\n1", &answer), "query I\nSELECT 2\n----\n2");
        assert_eq!(with_answer("query I\nSELECT 2", &answer), "query I\nSELECT 2\n----\n2");
    }
}
