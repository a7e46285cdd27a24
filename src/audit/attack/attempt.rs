use sqlx::error::DatabaseError;

use crate::audit::AuditSeverity;
use crate::database::Answer;

/// One try to reach the other client.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    /// The finding, where it succeeds.
    pub(super) id: &'static str,
    pub(super) severity: AuditSeverity,
    pub(super) object: String,
    /// What it means.
    pub(super) meaning: &'static str,
    /// What is sent: the last of its statements tells.
    pub(super) sql: String,
    pub(super) way: Way,
    /// How it is seen to have succeeded.
    pub(super) reached: Reached,
    pub(super) mend: Option<String>,
    /// By which further SQLSTATEs it is refused as it should be.
    held_by: &'static [&'static str],
}

/// How it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Message,
    CopyOut,
    CopyIn,
}

/// How an attempt is seen to have succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// It answers with a row.
    Rows,
    /// It concerns a row; or is stopped by a constraint, which is looked at after the policies.
    Affected,
    /// It is not refused.
    Accepted,
    /// It concerns a row. A constraint that stops it is what should stop it.
    Refers,
    /// A key that it shares with the other client stops it: it is to be taken.
    Collides,
    /// It divides by zero.
    Divides,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Held,
    /// With what was seen.
    Reached(String),
    /// It is not known, and why.
    Unclear(String),
}

impl Attempt {
    pub(super) fn new(
        id: &'static str,
        object: impl Into<String>,
        meaning: &'static str,
        reached: Reached,
        sql: impl Into<String>,
    ) -> Self {
        Self {
            id,
            severity: AuditSeverity::Critical,
            object: object.into(),
            meaning,
            sql: sql.into(),
            way: Way::Message,
            reached,
            mend: None,
            held_by: &[],
        }
    }

    pub(super) fn held_by(mut self, codes: &'static [&'static str]) -> Self {
        self.held_by = codes;
        self
    }

    pub(super) fn severity(mut self, severity: AuditSeverity) -> Self {
        self.severity = severity;
        self
    }

    pub(super) fn way(mut self, way: Way) -> Self {
        self.way = way;
        self
    }

    pub(super) fn mend(mut self, sql: impl Into<String>) -> Self {
        self.mend = Some(sql.into());
        self
    }

    /// What came of it, the answer being that of its own statements.
    pub(super) fn judge(&self, answer: &Answer) -> Verdict {
        if let Some(refused) = &answer.refused {
            return self.judge_refusal(refused);
        }
        let affected = answer.done.last().copied().unwrap_or_default();
        let seen = match self.reached {
            Reached::Rows => answer
                .last(0)
                .map(|_| "it answers with a row of the other client".to_owned()),
            Reached::Affected | Reached::Refers => {
                (affected > 0).then(|| format!("it concerns {affected} rows"))
            }
            Reached::Accepted => Some("it is not refused".to_owned()),
            Reached::Collides | Reached::Divides => None,
        };
        seen.map_or(Verdict::Held, |seen| self.reached(&seen))
    }

    pub(super) fn judge_refusal(&self, refused: &sqlx::Error) -> Verdict {
        let Some(error) = refused.as_database_error() else {
            return self.unclear(&refused.to_string());
        };
        let code = error.code().unwrap_or_default();
        let told = format!("{code}: {}", error.message());
        match (self.reached, &*code) {
            (_, held) if self.held_by.contains(&held) => Verdict::Held,
            // Truncating, and the like: it was the reference that stopped it, not a right.
            (Reached::Accepted, "0A000") if self.way == Way::Message => self.reached(&told),
            // A constraint is looked at when the policies have let the row by.
            (Reached::Affected | Reached::Accepted, constraint) if constraint.starts_with("23") => {
                self.reached(&told)
            }
            (Reached::Collides, "23505" | "23P01") => {
                self.reached(&format!("{told}{}", of_constraint(error)))
            }
            (Reached::Divides, "22012") => self.reached(&told),
            (Reached::Refers, "23503") => Verdict::Held,
            // A key of its own: what was to be referred to is of the other client all the same.
            (Reached::Refers, constraint) if constraint.starts_with("23") => self.unclear(&told),
            // No right; the kernel; copying in where row-level security is on; a role that may not be taken.
            (_, "42501" | "0A000" | "25001" | "28000") => Verdict::Held,
            (_, kernel) if kernel.starts_with("TN0") => Verdict::Held,
            // A trigger or function of the host's refuses it.
            (Reached::Affected, "P0001") if matches!(self.id, "attack.insert" | "attack.give_away") => {
                Verdict::Held
            }
            (_, "55P03" | "40P01") => self.unclear(&format!("a lock was not to be had: {told}")),
            (_, "57014") => self.unclear(&format!("it took too long: {told}")),
            _ => self.unclear(&told),
        }
    }

    fn reached(&self, seen: &str) -> Verdict {
        Verdict::Reached(format!("{seen}: {}", shortened(&self.sql)))
    }

    fn unclear(&self, seen: &str) -> Verdict {
        Verdict::Unclear(format!("{seen}: {}", shortened(&self.sql)))
    }
}

fn of_constraint(error: &dyn DatabaseError) -> String {
    error
        .constraint()
        .map(|constraint| format!(" ({constraint})"))
        .unwrap_or_default()
}

/// A statement for people to read.
pub(super) fn shortened(sql: &str) -> String {
    const MOST: usize = 400;
    match sql.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &sql[..at]),
        None => sql.to_owned(),
    }
}
