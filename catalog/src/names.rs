//! Names of databases, tables, pipelines and columns: what may be one, and which name was meant. Names are kept as typed
//! and compared without regard to (ASCII) case.

use crate::CatalogError;

/// The longest name, in characters, as in MySQL.
const CHARACTERS_MAX: usize = 64;
/// Databases that are not the catalog's to give away: clients and the server itself expect them to be virtual.
const RESERVED_DATABASES: [&str; 5] = ["system", "information_schema", "mysql", "performance_schema", "sys"];
/// Columns that every table, or every topic read as a table, has of itself (PROTOCOL, "Data").
const RESERVED_COLUMNS: [&str; 7] = ["_stream", "_offset", "_partition", "_topic", "_timestamp", "_key", "_headers"];
/// How alike two names must be for one to be offered in place of the other: 1 is the same.
const ALIKE: f64 = 0.6;

pub(crate) fn check_database(name: &str) -> Result<(), CatalogError> {
    check("database", name)?;
    match contains(&RESERVED_DATABASES, name) {
        true => Err(CatalogError::invalid(format!("the database name `{name}` is reserved: choose another"))),
        false => Ok(()),
    }
}

pub(crate) fn check_table(name: &str) -> Result<(), CatalogError> {
    check("table", name)?;
    match name.contains('$') {
        true => Err(CatalogError::invalid(format!(
            "the table name `{name}` holds a `$`, which marks tables that belong to another, such as `t$errors`: choose a name without it"
        ))),
        false => Ok(()),
    }
}

pub(crate) fn check_pipeline(name: &str) -> Result<(), CatalogError> {
    check("pipeline", name)
}

/// Whether a column may have that name.
///
/// # Errors
/// [`CatalogError::Invalid`], with what is wrong with it.
pub fn check_column(name: &str) -> Result<(), CatalogError> {
    check("column", name)?;
    match contains(&RESERVED_COLUMNS, name) {
        true => Err(CatalogError::invalid(format!(
            "the column name `{name}` is reserved for what every row has of itself: choose another"
        ))),
        false => Ok(()),
    }
}

/// Of the characters of MySQL's own column for it.
pub(crate) fn check_user(name: &str) -> Result<(), CatalogError> {
    const USER_CHARACTERS_MAX: usize = 32;
    check("user", name)?;
    match name.chars().count() {
        characters if characters > USER_CHARACTERS_MAX => Err(CatalogError::invalid(format!(
            "the user name `{name}` has {characters} characters, and may have {USER_CHARACTERS_MAX}: choose another"
        ))),
        _ => Ok(()),
    }
}

fn contains(names: &[&str], name: &str) -> bool {
    names.iter().any(|reserved| reserved.eq_ignore_ascii_case(name))
}

/// What every kind of name must be. The keys count on there being no zero byte in it.
fn check(kind: &str, name: &str) -> Result<(), CatalogError> {
    let characters = name.chars().count();
    let fault = if name.is_empty() {
        "is empty".to_owned()
    } else if characters > CHARACTERS_MAX {
        format!("has {characters} characters, and may have {CHARACTERS_MAX}")
    } else if name.chars().any(char::is_control) {
        "holds a control character".to_owned()
    } else if name.trim() != name {
        "begins or ends with a space".to_owned()
    } else {
        return Ok(());
    };
    Err(CatalogError::invalid(format!("the {kind} name `{}` {fault}: choose another", name.escape_debug())))
}

/// `what`, with the nearest of `names` where one is near.
pub(crate) fn did_you_mean<'a>(what: String, name: &str, names: impl IntoIterator<Item = &'a str>) -> CatalogError {
    CatalogError::not_found(match nearest(name, names) {
        Some(candidate) => format!("{what}; did you mean `{candidate}`?"),
        None => what,
    })
}

/// The nearest of `names`, where one is near.
pub(crate) fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = name.to_ascii_lowercase();
    let alike = |candidate: &str| strsim::normalized_damerau_levenshtein(&folded, &candidate.to_ascii_lowercase());
    let nearest = names.into_iter().map(|candidate| (alike(candidate), candidate)).max_by(|a, b| a.0.total_cmp(&b.0));
    nearest.filter(|(likeness, _)| *likeness >= ALIKE).map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_names_are_refused_in_any_case() {
        for column in RESERVED_COLUMNS {
            assert!(check_column(column).is_err() && check_column(&column.to_uppercase()).is_err());
        }
        assert!(check_database("System").is_err() && check_database("systems").is_ok());
        assert!(check_table("t$errors").is_err() && check_column("a$b").is_ok());
    }

    #[test]
    fn a_name_has_1_to_64_characters_and_nothing_that_cannot_be_seen() {
        assert!(check_table(&"ä".repeat(64)).is_ok());
        for bad in [&"a".repeat(65), "", "a\0b", "a\nb", " a", "a "] {
            let error = check_table(bad).unwrap_err().to_string();
            assert!(error.contains("choose another"), "{error}");
        }
    }

    #[test]
    fn a_near_miss_is_offered_and_a_far_one_is_not() {
        let error = did_you_mean("table `d`.`click`".into(), "Click", ["orders", "clicks"]);
        assert_eq!(error.to_string(), "there is no table `d`.`click`; did you mean `clicks`?");
        let error = did_you_mean("table `d`.`click`".into(), "click", ["orders"]);
        assert_eq!(error.to_string(), "there is no table `d`.`click`");
    }
}
