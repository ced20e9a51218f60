//! The variables of a session: which there are, of what type, and their values. Whoever sets or reads one goes through the
//! registry, so that SET, `SELECT @@x` and SHOW VARIABLES never disagree.

mod facts;
mod registry;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use warehouse::read::session::Freshness;

use super::alike::did_you_mean;
use super::units::{millis_text, parse_duration};
use crate::mysql::SqlError;

pub use facts::ServerFacts;
pub(crate) use registry::{Definition, Effect, Kind, definition, definitions};

/// MySQL's number for a variable that cannot be set.
const READ_ONLY: u16 = 1238;
/// MySQL's number for a value that a variable cannot have.
const WRONG_VALUE: u16 = 1231;

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

impl Value {
    /// As SHOW VARIABLES shows it.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Null => String::new(),
            Self::Bool(value) => if *value { "ON" } else { "OFF" }.to_owned(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// The variables of one session, system and user.
#[derive(Clone, Debug)]
pub(crate) struct Variables {
    set: BTreeMap<&'static str, Value>,
    user: BTreeMap<String, Value>,
    facts: Arc<ServerFacts>,
}

impl Variables {
    /// Every variable at its default.
    pub(crate) fn new(facts: Arc<ServerFacts>) -> Self {
        Self { set: BTreeMap::new(), user: BTreeMap::new(), facts }
    }

    /// The session's value of the system variable `name`, in lower case; `None` where there is no such.
    pub(crate) fn get(&self, name: &str) -> Option<Value> {
        self.set.get(name).cloned().or_else(|| self.global(name))
    }

    /// The value that a session begins with.
    pub(crate) fn global(&self, name: &str) -> Option<Value> {
        let definition = definition(name)?;
        Some(self.facts.value(name).unwrap_or_else(|| definition.default_value()))
    }

    /// Every system variable, by name, with the session's value and the one that sessions begin with.
    pub(crate) fn all(&self) -> Vec<(&'static Definition, Value, Value)> {
        let of = |found: Option<Value>| found.unwrap_or(Value::Null);
        definitions()
            .iter()
            .map(|definition| (definition, of(self.get(definition.name)), of(self.global(definition.name))))
            .collect()
    }

    /// Sets a system variable; `None` for its default. 1193 where there is no such.
    pub(crate) fn set(&mut self, name: &str, value: Option<Value>) -> Result<(), SqlError> {
        let Some(definition) = definition(name) else { return Err(unknown(name)) };
        if definition.effect == Effect::Fact {
            let message = format!("Variable '{name}' is a read only variable; it cannot be set");
            return Err(SqlError::new(READ_ONLY, message));
        }
        match value {
            None => {
                self.set.remove(definition.name);
            }
            Some(value) => {
                let value = definition.accept(&value).map_err(|cause| {
                    let message =
                        format!("Variable '{name}' can't be set to the value of '{}'; {cause}", value.shown());
                    SqlError::new(WRONG_VALUE, message)
                })?;
                self.set.insert(definition.name, value);
            }
        }
        Ok(())
    }

    /// `@name`; NULL where it was never set.
    pub(crate) fn user(&self, name: &str) -> Value {
        self.user.get(&name.to_ascii_lowercase()).cloned().unwrap_or(Value::Null)
    }

    /// Sets `@name`.
    pub(crate) fn set_user(&mut self, name: &str, value: Value) {
        self.user.insert(name.to_ascii_lowercase(), value);
    }

    /// SET NAMES; `None` for the defaults.
    pub(crate) fn set_names(&mut self, charset: Option<&str>, collation: Option<&str>) -> Result<(), SqlError> {
        let charset = charset.map(|charset| Value::Text(charset.to_ascii_lowercase()));
        for name in ["character_set_client", "character_set_connection", "character_set_results"] {
            self.set(name, charset.clone())?;
        }
        self.set("collation_connection", collation.map(|collation| Value::Text(collation.to_ascii_lowercase())))
    }

    /// How fresh answers are to be.
    pub(crate) fn freshness(&self) -> Freshness {
        match self.get("freshness") {
            Some(Value::Text(text)) if text == "committed" => Freshness::Committed,
            _ => Freshness::Latest,
        }
    }

    /// After how long a statement is given up; `None` for never. Ours, or MySQL's in milliseconds, whichever is shorter.
    pub(crate) fn statement_timeout(&self) -> Option<Duration> {
        let ours = match self.get("statement_timeout") {
            Some(Value::Text(text)) => parse_duration(&text).ok(),
            _ => None,
        };
        let mysqls = match self.get("max_execution_time") {
            Some(Value::Int(millis)) => u64::try_from(millis).ok().map(Duration::from_millis),
            _ => None,
        };
        [ours, mysqls].into_iter().flatten().filter(|limit| !limit.is_zero()).min()
    }

    /// After how long a silent client is left.
    pub(crate) fn idle_timeout(&self) -> Option<Duration> {
        match self.get("wait_timeout") {
            Some(Value::Int(seconds)) => u64::try_from(seconds).ok().map(Duration::from_secs),
            _ => None,
        }
    }

    /// How many rows a SELECT without a LIMIT yields at most, where a limit is set.
    pub(crate) fn select_limit(&self) -> Option<i64> {
        match self.get("sql_select_limit") {
            Some(Value::Int(rows)) if rows < i64::MAX => Some(rows),
            _ => None,
        }
    }

    /// Whether `||` joins texts; else it is OR.
    pub(crate) fn pipes_concat(&self) -> bool {
        match self.get("sql_mode") {
            Some(Value::Text(modes)) => modes.split(',').any(|mode| mode == "PIPES_AS_CONCAT" || mode == "ANSI"),
            _ => false,
        }
    }
}

/// 1193, with the variable that was perhaps meant.
pub(crate) fn unknown(name: &str) -> SqlError {
    SqlError::unknown_variable(name, &did_you_mean(name, definitions().iter().map(|definition| definition.name)))
}

impl Definition {
    /// `value` in this variable's type, or why not.
    fn accept(&self, value: &Value) -> Result<Value, String> {
        let text = value.shown();
        match self.kind {
            Kind::Bool => match text.to_ascii_lowercase().as_str() {
                "1" | "on" | "true" => Ok(Value::Bool(true)),
                "0" | "off" | "false" => Ok(Value::Bool(false)),
                _ => Err("it is ON or OFF".to_owned()),
            },
            Kind::Int { min, max } => match text.parse::<i64>() {
                Ok(number) => Ok(Value::Int(number.clamp(min, max))),
                // Clients write limits above what a signed number holds.
                Err(_) if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() => Ok(Value::Int(max)),
                Err(_) => Err("it is a whole number".to_owned()),
            },
            Kind::Text | Kind::Charset => Ok(if *value == Value::Null { Value::Null } else { Value::Text(text) }),
            Kind::Words => Ok(Value::Text(text.to_ascii_uppercase())),
            Kind::OneOf(words) => match words.iter().find(|word| word.eq_ignore_ascii_case(&text)) {
                Some(word) => Ok(Value::Text((*word).to_owned())),
                None => Err(format!("it is one of {}", words.join(", "))),
            },
            Kind::Duration => {
                let duration = parse_duration(&text)?;
                Ok(Value::Text(millis_text(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn variables() -> Variables {
        Variables::new(Arc::new(ServerFacts {
            address: Arc::new(SocketAddr::from(([127, 0, 0, 1], 9030)).into()),
            connections_max: 7,
            ..ServerFacts::default()
        }))
    }

    #[test]
    fn what_is_true_of_the_server_is_shown_and_cannot_be_set() {
        let mut variables = variables();
        assert_eq!(variables.get("port"), Some(Value::Int(9030)));
        assert_eq!(variables.get("max_connections"), Some(Value::Int(7)));
        assert_eq!(variables.get("version_compile_machine"), Some(Value::Text(std::env::consts::ARCH.into())));
        assert_ne!(variables.get("hostname"), Some(Value::Text(String::new())));
        for definition in definitions().iter().filter(|definition| definition.effect == Effect::Fact) {
            assert_eq!(variables.set(definition.name, None).unwrap_err().code, READ_ONLY, "{}", definition.name);
        }
    }

    #[test]
    fn a_session_s_value_leaves_the_one_that_others_begin_with() {
        let mut variables = variables();
        variables.set("wait_timeout", Some(Value::Int(0))).unwrap();
        assert_eq!(variables.idle_timeout(), Some(Duration::from_secs(1)), "cut to its bounds");
        assert_eq!(variables.global("wait_timeout"), Some(Value::Int(28_800)));
        assert_eq!(variables.select_limit(), None);
        variables.set("sql_select_limit", Some(Value::Int(5))).unwrap();
        assert_eq!(variables.select_limit(), Some(5));
    }

    #[test]
    fn every_default_is_a_value_of_its_variable() {
        for definition in definitions() {
            let default = definition.default_value();
            assert_eq!(definition.accept(&default).as_ref(), Ok(&default), "{}", definition.name);
        }
        let names: Vec<&str> = definitions().iter().map(|definition| definition.name).collect();
        assert!(names.is_sorted(), "definition() searches by halves");
    }

    #[test]
    fn a_variable_takes_values_of_its_type_and_goes_back_to_its_default() {
        let mut variables = variables();
        variables.set("autocommit", Some(Value::Text("off".into()))).unwrap();
        assert_eq!(variables.get("autocommit"), Some(Value::Bool(false)));
        variables.set("autocommit", None).unwrap();
        assert_eq!(variables.get("autocommit"), Some(Value::Bool(true)));
        variables.set("sql_select_limit", Some(Value::Text("18446744073709551615".into()))).unwrap();
        variables.set("net_write_timeout", Some(Value::Int(600))).unwrap();
        assert_eq!(variables.get("net_write_timeout"), Some(Value::Int(600)));
    }

    #[test]
    fn a_wrong_value_says_what_would_be_right() {
        let mut variables = variables();
        let error = variables.set("freshness", Some(Value::Text("newest".into()))).unwrap_err();
        assert_eq!(error.code, 1231);
        assert!(error.message.ends_with("it is one of latest, committed"), "{}", error.message);
        assert_eq!(variables.set("version", Some(Value::Int(9))).unwrap_err().code, 1238);
        let error = variables.set("freshnes", None).unwrap_err();
        assert_eq!((error.code, error.message.contains("did you mean 'freshness'?")), (1193, true));
    }

    #[test]
    fn the_shorter_of_the_two_time_limits_holds() {
        let mut variables = variables();
        assert_eq!(variables.statement_timeout(), None);
        variables.set("statement_timeout", Some(Value::Text("2s".into()))).unwrap();
        variables.set("max_execution_time", Some(Value::Int(500))).unwrap();
        assert_eq!(variables.statement_timeout(), Some(Duration::from_millis(500)));
        variables.set("max_execution_time", Some(Value::Int(0))).unwrap();
        assert_eq!(variables.statement_timeout(), Some(Duration::from_secs(2)));
    }
}
