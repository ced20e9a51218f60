//! "Did you mean …?": the nearest of the names that would have been right.

/// How alike two names must be for one to be offered in place of the other: 1 is the same.
const ALIKE: f64 = 0.6;

/// The nearest of `names` as a hint for a message; empty where none is near.
pub(crate) fn did_you_mean<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(typed, names) {
        Some(name) => format!("did you mean '{name}'?"),
        None => String::new(),
    }
}

/// Functions that people mean more often than others that are as near: aggregates first.
const COMMON: [&str; 22] = [
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "date_format",
    "now",
    "concat",
    "round",
    "lower",
    "upper",
    "length",
    "substr",
    "coalesce",
    "ifnull",
    "if",
    "cast",
    "abs",
    "date",
    "year",
    "month",
    "day",
];

/// The same for functions: of several that are as near, the one that is called most.
pub(crate) fn did_you_mean_function<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let folded = typed.to_ascii_lowercase();
    let called = |name: &str| COMMON.iter().position(|common| *common == name).unwrap_or(COMMON.len());
    let near = names.into_iter().filter(|name| strsim::normalized_damerau_levenshtein(&folded, name) >= ALIKE);
    let best = near.min_by_key(|name| (strsim::damerau_levenshtein(&folded, name), called(name), name.len(), *name));
    best.map_or_else(String::new, |name| format!("did you mean '{name}'?"))
}

/// The nearest of `names`, where one is near.
pub(crate) fn nearest<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = typed.to_ascii_lowercase();
    let likeness = |name: &str| strsim::normalized_damerau_levenshtein(&folded, &name.to_ascii_lowercase());
    names
        .into_iter()
        .map(|name| (likeness(name), name))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_offered_and_a_far_one_is_not() {
        assert_eq!(did_you_mean("flihgts", ["orders", "flights"]), "did you mean 'flights'?");
        assert_eq!(did_you_mean("Origins", ["origin", "dest"]), "did you mean 'origin'?");
        assert_eq!(did_you_mean("xyz", ["orders", "flights"]), "");
    }

    #[test]
    fn of_functions_that_are_as_near_the_one_that_is_called_most_is_offered() {
        let names = ["cot", "count", "md5", "max", "mod", "nvl", "now", "sin", "sum", "lpad", "ln"];
        for (typed, meant) in [("cuont", "count"), ("coutn", "count"), ("smu", "sum"), ("mxa", "max"), ("nwo", "now")] {
            assert_eq!(did_you_mean_function(typed, names), format!("did you mean '{meant}'?"), "{typed}");
        }
        assert_eq!(did_you_mean_function("nonsense", names), "");
    }
}
