//! Where one statement ends and the next begins: a `;`, `\G` or `\g` outside quotes and comments. Knows of SQL only how its
//! quotes and comments look.

/// How the answer of one statement is to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// As asked for by `--format`.
    Usual,
    /// `\G`: one line per value.
    Vertical,
}

/// One whole statement, without its end mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// The text.
    pub(super) sql: String,
    /// How its answer is shown.
    pub(super) layout: Layout,
}

/// Collects text and cuts it into statements.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    text: String,
    /// How far `text` has been read, and in what that place lies.
    at: usize,
    inside: Inside,
}

/// What the next character belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Inside {
    #[default]
    Code,
    Quotes(char),
    LineComment,
    BlockComment,
}

impl Splitter {
    /// Appends text; lines keep their ends.
    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Whether a statement has begun.
    pub(super) fn is_open(&self) -> bool {
        !self.text.trim().is_empty()
    }

    /// Forgets the statement that has begun.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The next statement that has its end mark. Empty ones are passed over.
    pub(super) fn next(&mut self) -> Option<Statement> {
        loop {
            let (end, mark, layout) = self.find_end()?;
            let sql = self.text[..end].trim().to_owned();
            self.text.drain(..end + mark);
            self.at = 0;
            if !sql.is_empty() {
                return Some(Statement { sql, layout });
            }
        }
    }

    /// What is left when no more text comes: a statement without an end mark, unless it is only a comment.
    pub(super) fn finish(mut self) -> Option<Statement> {
        let complete = self.next();
        debug_assert!(complete.is_none(), "finish is called once next yields nothing");
        let sql = self.text.trim().to_owned();
        let only_comments =
            sql.lines().all(|line| line.trim().is_empty() || line.starts_with("--") || line.starts_with('#'));
        (!only_comments).then_some(Statement { sql, layout: Layout::Usual })
    }

    /// The place of the next end mark, and its length. Stops where a character more could change the meaning.
    fn find_end(&mut self) -> Option<(usize, usize, Layout)> {
        while let Some(current) = self.text[self.at..].chars().next() {
            let rest = &self.text[self.at..];
            let mut step = current.len_utf8();
            match self.inside {
                Inside::Code => match current {
                    ';' => return Some((self.at, 1, Layout::Usual)),
                    '\\' if rest.starts_with("\\G") => return Some((self.at, 2, Layout::Vertical)),
                    '\\' if rest.starts_with("\\g") => return Some((self.at, 2, Layout::Usual)),
                    '\'' | '"' | '`' => self.inside = Inside::Quotes(current),
                    '#' => self.inside = Inside::LineComment,
                    '-' if starts_line_comment(rest) => self.inside = Inside::LineComment,
                    '/' if rest.starts_with("/*") => {
                        self.inside = Inside::BlockComment;
                        step = 2;
                    }
                    _ => {}
                },
                // A doubled quote closes and opens again, which comes to the same.
                Inside::Quotes(quote) if current == quote => self.inside = Inside::Code,
                Inside::Quotes(quote) if current == '\\' && quote != '`' => {
                    step += rest[step..].chars().next()?.len_utf8();
                }
                Inside::BlockComment if rest.starts_with("*/") => {
                    self.inside = Inside::Code;
                    step = 2;
                }
                Inside::LineComment if current == '\n' => self.inside = Inside::Code,
                Inside::Quotes(_) | Inside::BlockComment | Inside::LineComment => {}
            }
            self.at += step;
        }
        None
    }
}

/// In MySQL two dashes begin a comment only before a space or the line's end: `1--1` is 2.
fn starts_line_comment(rest: &str) -> bool {
    rest.strip_prefix("--").is_some_and(|after| after.is_empty() || after.starts_with(char::is_whitespace))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(text: &str) -> Vec<String> {
        let mut splitter = Splitter::default();
        splitter.push(text);
        let mut found: Vec<String> = std::iter::from_fn(|| splitter.next()).map(|statement| statement.sql).collect();
        found.extend(splitter.finish().map(|statement| statement.sql));
        found
    }

    #[test]
    fn a_semicolon_ends_a_statement_only_outside_quotes_and_comments() {
        assert_eq!(split("select 1; select 2 ;;"), ["select 1", "select 2"]);
        assert_eq!(split("select ';', \"a;b\", `c;d`; x"), ["select ';', \"a;b\", `c;d`", "x"]);
        assert_eq!(split(r"select 'it\'s;', 'it''s;'; x"), [r"select 'it\'s;', 'it''s;'", "x"]);
        assert_eq!(split("select 1 -- no; end\n; select 2"), ["select 1 -- no; end", "select 2"]);
        assert_eq!(split("select /* ; */ 1; select 2 # ;"), ["select /* ; */ 1", "select 2 # ;"]);
        assert_eq!(split("select 1--1; select 2"), ["select 1--1", "select 2"]);
        assert_eq!(split("select 1;\n-- the end\n"), ["select 1"]);
        assert_eq!(split(" ; ;\n"), Vec::<String>::new());
    }

    #[test]
    fn a_capital_g_asks_for_the_vertical_layout() {
        let mut splitter = Splitter::default();
        splitter.push("show tables\\G select '\\G';");
        assert_eq!(splitter.next().unwrap(), Statement { sql: "show tables".into(), layout: Layout::Vertical });
        assert_eq!(splitter.next().unwrap(), Statement { sql: "select '\\G'".into(), layout: Layout::Usual });
        assert!(!splitter.is_open());
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_the_text_is_cut(text in "[a';\"`#*/\\\\ \nG-]{0,40}", cut in any::<prop::sample::Index>()) {
            let cut = cut.index(text.len() + 1);
            // At the end of the text `--` and `\` are still open; the shell always pushes whole lines.
            prop_assume!(!text[..cut].ends_with(['-', '\\', '/', '*', '\'', '"', '`']));
            let mut splitter = Splitter::default();
            splitter.push(&text[..cut]);
            let mut found: Vec<Statement> = std::iter::from_fn(|| splitter.next()).collect();
            splitter.push(&text[cut..]);
            found.extend(std::iter::from_fn(|| splitter.next()));
            found.extend(splitter.finish());
            prop_assert_eq!(found.into_iter().map(|statement| statement.sql).collect::<Vec<_>>(), split(&text));
        }
    }
}
