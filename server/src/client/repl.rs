//! The prompt: reads lines with history, hands whole statements to the shell, shows errors and goes on.

use std::io::Write;
use std::path::PathBuf;

use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{Config, Editor};

use super::shell::{Shell, ShellError};
use super::statements::{Layout, Splitter, Statement};

const PROMPT: &str = "millrace> ";
const PROMPT_MORE: &str = "       -> ";
const HISTORY_LINES: usize = 5_000;
const HELP: &str = "\
A statement ends with ; and may take several lines. End it with \\G to see a line per value.

  \\h, help     this text                   \\q, quit, exit   leave (also Ctrl-D)
  \\c           forget the statement begun  Ctrl-C           forget it, or cancel the one that runs

To begin with:
  SHOW DATABASES;   USE <database>;   SHOW TABLES;   DESCRIBE <table>;
  SHOW PIPELINES;   SHOW TASKS;       SELECT * FROM system.errors;
";

type LineEditor = Editor<(), DefaultHistory>;

/// What a line asks of the prompt itself.
enum Order {
    Quit,
    Help,
    Clear,
}

/// The interactive loop.
pub(super) struct Repl {
    shell: Shell,
    history: Option<PathBuf>,
}

impl Repl {
    pub(super) fn new(shell: Shell) -> Self {
        let history = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".millrace_history"));
        Self { shell, history }
    }

    /// Runs until the user leaves.
    pub(super) async fn run(mut self) -> anyhow::Result<()> {
        let mut out = std::io::stdout();
        let connection = self.shell.connection();
        writeln!(
            out,
            "Connected to {}, connection {}. \\h for help, \\q to leave.",
            connection.server_version(),
            connection.id()
        )?;
        let mut editor = self.editor()?;
        let mut splitter = Splitter::default();
        loop {
            let prompt = if splitter.is_open() { PROMPT_MORE } else { PROMPT };
            let (returned, line) = read_line(editor, prompt).await?;
            editor = returned;
            match line {
                Ok(line) => match order(&line, splitter.is_open()) {
                    Some(Order::Quit) => break,
                    Some(Order::Help) => write!(out, "{HELP}")?,
                    Some(Order::Clear) => splitter.clear(),
                    None => {
                        splitter.push(&line);
                        splitter.push("\n");
                        while let Some(statement) = splitter.next() {
                            remember(&mut editor, &statement);
                            self.execute(&statement).await?;
                        }
                    }
                },
                Err(ReadlineError::Interrupted) => splitter.clear(),
                Err(ReadlineError::Eof) => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.save_history(&mut editor);
        self.shell.close().await;
        Ok(())
    }

    /// Runs one statement. Its error is shown and the prompt goes on; Ctrl-C cancels it by giving up the connection.
    async fn execute(&mut self, statement: &Statement) -> anyhow::Result<()> {
        let mut out = std::io::stdout();
        let outcome = tokio::select! {
            biased;
            outcome = self.shell.run(statement, &mut out) => Some(outcome),
            _ = tokio::signal::ctrl_c() => None,
        };
        match outcome {
            Some(Ok(())) => return Ok(()),
            Some(Err(ShellError::Client(error))) if error.is_answer() => {
                eprintln!("{error}");
                return Ok(());
            }
            Some(Err(error)) => eprintln!("{error}"),
            None => eprintln!("cancelled"),
        }
        self.shell.reconnect().await?;
        eprintln!("connected again as connection {}", self.shell.connection().id());
        Ok(())
    }

    fn editor(&self) -> anyhow::Result<LineEditor> {
        let config = Config::builder().max_history_size(HISTORY_LINES)?.history_ignore_space(true).build();
        let mut editor = LineEditor::with_config(config)?;
        if let Some(path) = self.history.as_ref().filter(|path| path.exists())
            && let Err(error) = editor.load_history(path)
        {
            eprintln!("the history in {} cannot be read: {error}", path.display());
        }
        Ok(editor)
    }

    fn save_history(&self, editor: &mut LineEditor) {
        if let Some(path) = &self.history
            && let Err(error) = editor.save_history(path)
        {
            eprintln!("the history could not be written to {}: {error}", path.display());
        }
    }
}

/// Reads one line on a thread of its own, because the terminal blocks.
async fn read_line(
    mut editor: LineEditor,
    prompt: &'static str,
) -> anyhow::Result<(LineEditor, Result<String, ReadlineError>)> {
    Ok(tokio::task::spawn_blocking(move || {
        let line = editor.readline(prompt);
        (editor, line)
    })
    .await?)
}

/// Keeps a statement as it would be typed on one line.
fn remember(editor: &mut LineEditor, statement: &Statement) {
    let line = statement.sql.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    let end = if statement.layout == Layout::Vertical { "\\G" } else { ";" };
    // A full history is no reason to stop; the line is then only not remembered.
    let _ = editor.add_history_entry(line + end);
}

/// The words of the prompt itself count only where a statement could begin; `\c` and `\q` count at any line's beginning.
fn order(line: &str, inside_statement: bool) -> Option<Order> {
    let line = line.trim();
    match line {
        "\\q" => return Some(Order::Quit),
        "\\c" => return Some(Order::Clear),
        "\\h" | "\\?" => return Some(Order::Help),
        _ => {}
    }
    if inside_statement {
        return None;
    }
    match line.trim_end_matches(';').trim_end().to_ascii_lowercase().as_str() {
        "quit" | "exit" => Some(Order::Quit),
        "help" | "?" => Some(Order::Help),
        _ => None,
    }
}
