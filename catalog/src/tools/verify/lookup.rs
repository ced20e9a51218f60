//! What has to be looked up again, because it was read before it was known to be asked for.

use super::VerifyReport;
use super::facts::{Facts, hash};
use crate::CatalogError;
use crate::keys::{
    self,
    kind::{Kind, Piece},
    log::LogRecord,
};
use crate::store::KeyRange;
use crate::tools::reader::Reader;

const TOKEN: &str =
    "a commit whose outcome is unknown is sent again, and may happen twice (I6): restore the catalog from a copy";
const GARBAGE: &str =
    "the sweeper deletes a file that is shown (I7): start no server on it, and restore the catalog from a copy";
const AGELESS: &str = "the label is never forgotten, and takes room; report it";

/// Looks it up.
pub(super) async fn check(
    reader: &mut Reader<'_>,
    facts: &Facts,
    report: &mut VerifyReport,
) -> Result<(), CatalogError> {
    check_tokens(reader, facts, report).await?;
    check_garbage(reader, facts, report).await?;
    check_ages(reader, facts, report).await
}

/// A token stands in the log at the version that its slot names.
async fn check_tokens(reader: &mut Reader<'_>, facts: &Facts, report: &mut VerifyReport) -> Result<(), CatalogError> {
    for (writer, (version, token)) in &facts.tokens {
        let Some(table) = facts.table_of(*writer) else { continue };
        let key = keys::log::ser_key(table, *version);
        let found = reader.get(&key).await?;
        let record = found.map(|value| keys::log::deser_value(&key, &value));
        let is_there = match record {
            Some(Ok(LogRecord::Commit(chunk))) => (chunk.writer, chunk.token) == (*writer, *token),
            Some(Ok(_)) | None => false,
            // Found already.
            Some(Err(_)) => true,
        };
        if !is_there {
            let what = format!("the log of table {table} has no commit {token} at {version}");
            report.find(keys::token::ser_key(*writer), what, TOKEN);
        }
    }
    Ok(())
}

/// Eight bytes told that a visible part may be garbage; the key tells whether it is.
async fn check_garbage(reader: &mut Reader<'_>, facts: &Facts, report: &mut VerifyReport) -> Result<(), CatalogError> {
    for (table, path) in &facts.perhaps_garbage {
        let key = keys::garbage::ser_key(path);
        if reader.get(&key).await?.is_some() {
            report.find(&key, format!("it is a part of table {table} that is visible"), GARBAGE);
        }
    }
    Ok(())
}

/// Names the labels without an age, if there are any.
async fn check_ages(reader: &mut Reader<'_>, facts: &Facts, report: &mut VerifyReport) -> Result<(), CatalogError> {
    let all = KeyRange::prefix(Kind::Label.prefix().as_bytes());
    let mut rest = Some(all).filter(|_| !facts.ageless.is_empty());
    while let Some(page) = reader.next(&mut rest).await? {
        for (key, value) in &page.entries {
            let Ok(pieces) = Kind::Label.pieces(key) else { continue };
            let [Piece::Number(table), Piece::Text(label)] = &pieces[..] else { continue };
            let Ok((_, record)) = keys::label::deser_value(key, value) else { continue };
            let wall = u64::try_from(record.wall).unwrap_or(0);
            if facts.ageless.contains(&hash((*table, label.clone(), wall))) {
                report.find(key, format!("label_age/{wall}/{table}/{label} is missing"), AGELESS);
            }
        }
    }
    Ok(())
}
