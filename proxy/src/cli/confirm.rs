//! Asking before what can't be undone.

use std::io::{IsTerminal, stdin};

use clap::Args;

use super::{failure::Failure, talk};

#[derive(Args)]
pub(super) struct Confirm {
    /// Do not ask first.
    #[arg(long)]
    yes: bool,
}

impl Confirm {
    /// Goes on only with `--yes`, or with a person's word at a terminal.
    pub(super) fn ask(&self, what: &str) -> anyhow::Result<()> {
        if self.yes {
            return Ok(());
        }
        if !stdin().is_terminal() {
            return Err(Failure::NotConfirmed(format!(
                "{what} It can't be undone, so say so with --yes; nothing was changed"
            ))
            .into());
        }
        talk(&format!("{what} It can't be undone. Type yes to go on:"));
        let mut word = String::new();
        stdin().read_line(&mut word)?;
        if word.trim() == "yes" {
            Ok(())
        } else {
            Err(Failure::NotConfirmed("nothing was changed".to_owned()).into())
        }
    }
}
