use std::time::Instant;

use super::arena::{Arena, Stage};
use super::attempt::{Attempt, Verdict, Way};
use crate::audit::AuditFinding;
use crate::error::Result;

/// The savepoint that each attempt begins at.
const BACK: &str = "rollback to savepoint attack";

impl Arena<'_> {
    /// Makes the attempts on the table, each from the same point, in as many transactions as it takes.
    pub(super) async fn attempt_all(
        &mut self,
        at: usize,
        mut stage: Stage,
        attempts: Vec<Attempt>,
    ) -> Result<Option<Stage>> {
        let until = (Instant::now() + self.options.table_time).min(self.deadline);
        let mut left = attempts.into_iter();
        while let Some(attempt) = left.next() {
            if Instant::now() >= until {
                let object = attempt.object.clone();
                let untried = left.len() + 1;
                self.report
                    .unclear(object, format!("time ran out with {untried} attempts to go"));
                break;
            }
            let Some(fresh) = self.fresh(at, stage).await? else {
                return Ok(None);
            };
            stage = fresh;
            self.attempt(&mut stage, &attempt).await?;
        }
        Ok(Some(stage))
    }

    /// The same stage, or another where it has stood long enough.
    pub(super) async fn fresh(&mut self, at: usize, stage: Stage) -> Result<Option<Stage>> {
        if !stage.is_old(self.options) {
            return Ok(Some(stage));
        }
        self.end(stage).await;
        self.stage(at, false).await
    }

    /// Makes an attempt from where the stage was set. Says whether it reached the other client.
    pub(super) async fn attempt(&mut self, stage: &mut Stage, attempt: &Attempt) -> Result<bool> {
        let verdict = match attempt.way {
            Way::Message => {
                let answer = self.send(stage, &format!("{BACK}; {}", attempt.sql)).await?;
                attempt.judge(&answer)
            }
            Way::CopyOut | Way::CopyIn => {
                self.send(stage, BACK).await?;
                self.report.statements += 1;
                let copied = match attempt.way {
                    Way::CopyOut => stage.probe.copy_out(&attempt.sql).await?,
                    _ => stage.probe.copy_in(&attempt.sql).await?.map(|()| 1),
                };
                match copied {
                    Ok(0) => Verdict::Held,
                    Ok(_) => Verdict::Reached(format!("it is copied: {}", attempt.sql)),
                    Err(refused) => attempt.judge_refusal(&refused),
                }
            }
        };
        self.told(attempt, &verdict);
        Ok(matches!(verdict, Verdict::Reached(_)))
    }

    pub(super) fn told(&mut self, attempt: &Attempt, verdict: &Verdict) {
        match verdict {
            Verdict::Held => {}
            Verdict::Reached(evidence) => {
                let mut finding = AuditFinding::new(
                    attempt.id,
                    attempt.severity,
                    &attempt.object,
                    attempt.meaning,
                    evidence,
                );
                if let Some(mend) = &attempt.mend {
                    finding = finding.mended_by(mend);
                }
                self.report.found(finding);
            }
            Verdict::Unclear(evidence) => self.report.unclear(&attempt.object, evidence),
        }
    }
}
