use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::failure::Failure;
use crate::table::Table;

/// Where a command writes what it was asked for: for people, or as JSON for machines.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    /// Of the terminal; `None` where the output is a pipe or a file.
    width: Option<u16>,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        let width = terminal.then(|| comfy_table::Table::new().width().unwrap_or(80));
        Self { json, width }
    }

    /// How wide prose is: as the terminal, and 100 columns in a file.
    pub(crate) fn width(&self) -> u16 {
        self.width.unwrap_or(100)
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// The value as JSON, or the table of it.
    pub(crate) fn show<T>(&self, value: &T, table: impl FnOnce(&T) -> Table) -> Result<(), Failure>
    where
        T: Serialize + ?Sized,
    {
        if self.json {
            return self.json(value);
        }
        self.write(&table(value).render(self.width))
    }

    /// The value as JSON, or a sentence that says what was done.
    pub(crate) fn say(&self, value: &impl Serialize, sentence: impl AsRef<str>) -> Result<(), Failure> {
        if self.json {
            return self.json(value);
        }
        self.write(&format!("{}\n", sentence.as_ref()))
    }

    /// A script, as it is.
    pub(crate) fn script(&self, text: &str) -> Result<(), Failure> {
        self.write(text)
    }

    /// The value as JSON, whatever was asked for.
    pub(crate) fn json<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), Failure> {
        let mut text = serde_json::to_string_pretty(value)
            .map_err(|error| Failure::usage(format!("writing JSON: {error}")))?;
        text.push('\n');
        self.write(&text)
    }

    #[expect(clippy::unused_self, reason = "what writes is an output")]
    fn write(&self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            // `| head` has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::NobodyReads),
            Err(error) => Err(Failure::io("writing", &error)),
        }
    }

    /// What is worth knowing beside what was asked for.
    #[expect(clippy::unused_self, reason = "what tells is an output")]
    pub(crate) fn note(&self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Why the command did not run to its end.
    pub(crate) fn failed(&self, failure: &Failure) {
        if matches!(failure, Failure::NobodyReads) {
            return;
        }
        let mut text = String::new();
        if self.json {
            let error = serde_json::json!({
                "error": {
                    "kind": failure.kind(),
                    "message": failure.to_string(),
                    "causes": failure.causes(),
                    "advice": failure.advice(),
                }
            });
            text = format!("{error:#}\n");
        } else {
            let _ = writeln!(text, "error: {failure}");
            for cause in failure.causes() {
                let _ = writeln!(text, "  because: {cause}");
            }
            if let Some(advice) = failure.advice() {
                let _ = writeln!(text, "  advice: {advice}");
            }
        }
        // There is nobody left to tell where this fails.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }
}
