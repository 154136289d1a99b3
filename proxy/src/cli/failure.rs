//! Why a command failed, as far as its exit code tells.

/// What is told by another exit code than 1.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Nobody answered.
    #[error("{0}")]
    Unreachable(String),
    /// The server refused.
    #[error("{0}")]
    Refused(String),
    /// It was not confirmed.
    #[error("{0}")]
    NotConfirmed(String),
}

impl Failure {
    /// The exit code of a failed command. 2 is the command line's own, for misuse.
    pub(super) fn exit_code(error: &anyhow::Error) -> u8 {
        match error.downcast_ref::<Self>() {
            None => 1,
            Some(Self::Unreachable(_)) => 3,
            Some(Self::Refused(_)) => 4,
            Some(Self::NotConfirmed(_)) => 5,
        }
    }
}
