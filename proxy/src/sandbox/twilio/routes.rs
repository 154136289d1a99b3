//! The endpoints that this Twilio has.

use axum::http::Method;

use super::errors::{self, ApiError};

/// An endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    CreateMessage,
    ListMessages,
    GetMessage,
    CreateCall,
    ListCalls,
    GetCall,
    CreateVerification,
    GetVerification,
    CheckVerification,
    Lookup,
}

/// What a path says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route<'a> {
    pub(super) op: Op,
    /// The account or the service; empty for look-ups.
    pub(super) owner: &'a str,
    /// The resource, or nothing.
    pub(super) id: &'a str,
}

const ACCOUNTS: &str = "/2010-04-01/Accounts/";
const SERVICES: &str = "/v2/Services/";
const NUMBERS: &str = "/v2/PhoneNumbers/";

/// Whether a path is one of Twilio's hosts'.
pub(in crate::sandbox) fn owns(path: &str) -> bool {
    ["/2010-04-01/", SERVICES, NUMBERS].iter().any(|prefix| path.starts_with(prefix))
}

/// The endpoint of a request.
pub(super) fn find<'a>(method: &Method, path: &'a str) -> Result<Route<'a>, ApiError> {
    let (get, post, id, owner) = place(path).ok_or_else(|| errors::not_found(path))?;
    let op = match *method {
        Method::GET => get,
        Method::POST => post,
        _ => None,
    };
    let op = op.ok_or_else(errors::method_not_allowed)?;
    Ok(Route { op, owner, id })
}

type Place<'a> = (Option<Op>, Option<Op>, &'a str, &'a str);

/// What a path answers to GET and to POST, and the ids in it.
fn place(path: &str) -> Option<Place<'_>> {
    if let Some(number) = path.strip_prefix(NUMBERS) {
        let whole = !number.is_empty() && !number.contains('/');
        return whole.then_some((Some(Op::Lookup), None, number, ""));
    }
    if let Some(rest) = path.strip_prefix(SERVICES) {
        let parts: Vec<&str> = rest.split('/').collect();
        return match parts.as_slice() {
            [service, "Verifications"] => Some((None, Some(Op::CreateVerification), "", service)),
            [service, "Verifications", id] => Some((Some(Op::GetVerification), None, id, service)),
            [service, "VerificationCheck"] => {
                Some((None, Some(Op::CheckVerification), "", service))
            }
            _ => None,
        };
    }
    let parts: Vec<&str> = path.strip_prefix(ACCOUNTS)?.split('/').collect();
    match parts.as_slice() {
        [account, "Messages.json"] => {
            Some((Some(Op::ListMessages), Some(Op::CreateMessage), "", account))
        }
        [account, "Calls.json"] => Some((Some(Op::ListCalls), Some(Op::CreateCall), "", account)),
        [account, "Messages", id] => {
            Some((Some(Op::GetMessage), None, id.strip_suffix(".json")?, account))
        }
        [account, "Calls", id] => {
            Some((Some(Op::GetCall), None, id.strip_suffix(".json")?, account))
        }
        _ => None,
    }
}

impl Op {
    /// Method and path, with `{id}` for ids.
    pub(super) fn endpoint(self) -> &'static str {
        match self {
            Self::CreateMessage => "POST /2010-04-01/Accounts/{id}/Messages.json",
            Self::ListMessages => "GET /2010-04-01/Accounts/{id}/Messages.json",
            Self::GetMessage => "GET /2010-04-01/Accounts/{id}/Messages/{id}.json",
            Self::CreateCall => "POST /2010-04-01/Accounts/{id}/Calls.json",
            Self::ListCalls => "GET /2010-04-01/Accounts/{id}/Calls.json",
            Self::GetCall => "GET /2010-04-01/Accounts/{id}/Calls/{id}.json",
            Self::CreateVerification => "POST /v2/Services/{id}/Verifications",
            Self::GetVerification => "GET /v2/Services/{id}/Verifications/{id}",
            Self::CheckVerification => "POST /v2/Services/{id}/VerificationCheck",
            Self::Lookup => "GET /v2/PhoneNumbers/{id}",
        }
    }

    /// Whether the path names the account.
    pub(super) fn is_of_account(self) -> bool {
        match self {
            Self::CreateMessage
            | Self::ListMessages
            | Self::GetMessage
            | Self::CreateCall
            | Self::ListCalls
            | Self::GetCall => true,
            Self::CreateVerification
            | Self::GetVerification
            | Self::CheckVerification
            | Self::Lookup => false,
        }
    }
}
