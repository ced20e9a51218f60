//! What went wrong at a cloud store, for a person and for a retry: place, cause, next step, and whether it passes by itself.

use std::error::Error as StdError;
use std::sync::Arc;

use object_store::Error;

use super::answers::{Refusal, Silence, SilenceKind};

/// Hosts that give a machine its credentials.
const METADATA_HOSTS: &[&str] =
    &["169.254.169.254", "169.254.170.2", "169.254.170.23", "metadata.google.internal", "metadata"];

/// What to do without credentials.
const CREDENTIALS: &str = "set access_key_id and secret_access_key in [object_store], AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, \
    or AWS_PROFILE; or give the machine a role";

/// Whether a host gives a machine its credentials.
pub(super) fn gives_credentials(host: &str) -> bool {
    METADATA_HOSTS.contains(&host.rsplit_once(':').map_or(host, |(host, _)| host))
}

/// A failure, explained. It is the source of the `object_store` error that carries it, and holds no text of a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}{}{next}", if next.is_empty() { "" } else { "; " })]
pub(super) struct Trouble {
    what: String,
    /// What the reader can do; empty where it is an answer like any other.
    next: String,
    class: Class,
}

/// What kind of failure it is: for counting, and for deciding whether to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The store asks for patience.
    Busy,
    /// There was no answer.
    Unreachable,
    /// Another failure of the store's own, or a race that it lost its head over.
    Passing,
    /// The credentials are not good enough.
    Denied,
    /// It stays until somebody changes something.
    Lasting,
}

impl Class {
    /// As metrics name it.
    pub(super) fn outcome(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Unreachable => "unreachable",
            Self::Denied => "denied",
            Self::Passing | Self::Lasting => "error",
        }
    }
}

impl Trouble {
    /// Something that somebody must change.
    pub(super) fn lasting(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(Class::Lasting, what, next)
    }

    fn new(class: Class, what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { what: what.into(), next: next.into(), class }
    }

    pub(super) fn class(&self) -> Class {
        self.class
    }

    /// What an error is explained by, if it is one of ours.
    pub(super) fn of(error: &Error) -> Option<&Self> {
        error.source()?.downcast_ref()
    }

    fn of_refusal(refusal: &Refusal) -> Self {
        let lasting = |what: String, next: &str| Self::lasting(what, next);
        let denied = |what: String, next: &str| Self::new(Class::Denied, what, next);
        if gives_credentials(&refusal.host) && refusal.status < 500 {
            return denied(format!("there are no credentials, and the machine has no role: {refusal}"), CREDENTIALS);
        }
        match (refusal.status, refusal.code.as_str()) {
            (_, "NoSuchBucket" | "ContainerNotFound") => {
                lasting(format!("there is no such bucket: {refusal}"), "make it, or correct its name in the address")
            }
            // An answer to a HEAD has no code.
            (_, "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" | "PermanentRedirect")
            | (300..=399, _)
            | (400, "") => match &refusal.region {
                Some(region) => {
                    lasting(format!("the bucket is in another region: {refusal}"), &format!("write ?region={region}"))
                }
                None => {
                    let what = format!("the bucket is elsewhere, or this is not its store: {refusal}");
                    lasting(what, "correct region= and endpoint= of the address")
                }
            },
            (_, "SignatureDoesNotMatch") => denied(
                format!("the secret access key does not belong to the access key id: {refusal}"),
                "correct secret_access_key",
            ),
            (_, "InvalidAccessKeyId" | "NotSignedUp" | "AuthenticationFailed" | "InvalidClientTokenId") => {
                denied(format!("the store does not know these credentials: {refusal}"), "correct access_key_id")
            }
            (_, "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" | "ExpiredTokenException") => denied(
                format!("the session token is not valid any more: {refusal}"),
                "renew the temporary credentials, or let the machine's role give them",
            ),
            (_, "RequestTimeTooSkewed") => {
                lasting(format!("this machine's clock is wrong: {refusal}"), "set the clock, best by NTP")
            }
            // What was sent did not arrive, or not as it was sent.
            (_, "RequestTimeout" | "IncompleteBody" | "BadDigest" | "XAmzContentSHA256Mismatch") => {
                Self::new(Class::Passing, refusal.to_string(), "it is tried again")
            }
            (_, "ConditionalRequestConflict" | "OperationAborted") => {
                Self::new(Class::Passing, format!("two wrote one name at once: {refusal}"), "it is tried again")
            }
            (401 | 403, _) => denied(
                format!("the credentials do not allow this: {refusal}"),
                "give them the rights that docs/object-store.md lists",
            ),
            (429 | 503, _) => Self::new(Class::Busy, refusal.to_string(), "it is tried again, more slowly"),
            (501, _) => lasting(
                format!("the store does not know this request: {refusal}"),
                "use a store that has what docs/object-store.md lists",
            ),
            // S3 can fail after it has begun to say that all is well.
            (200..=299 | 408 | 500..=599, _) => {
                Self::new(Class::Passing, refusal.to_string(), "it is tried again; if it stays, ask who runs the store")
            }
            _ => lasting(refusal.to_string(), "see the store's own documentation for this answer"),
        }
    }

    fn of_silence(silence: &Silence) -> Self {
        if gives_credentials(&silence.host) {
            let what = format!("there are no credentials, and the machine's own cannot be asked for: {silence}");
            return Self::new(Class::Unreachable, what, CREDENTIALS);
        }
        let (what, next) = match silence.kind {
            SilenceKind::NoConnection => {
                ("cannot be connected to", "see that the endpoint is right and that the store runs")
            }
            SilenceKind::Timeout => {
                ("did not answer in time", "see that the store runs and that the network is fast enough")
            }
            SilenceKind::Broken => {
                ("broke off", "it is tried again; if it stays, see what lies between here and the store")
            }
        };
        Self::new(Class::Unreachable, format!("{} {what}: {}", silence.host, silence.cause), next)
    }

    /// A failure that the library does not tell by a value: of its text there is no URL in it.
    fn of_text(text: String) -> Self {
        // One object of a deletion in bulk was refused.
        let is_denied = ["(code: AccessDenied)", "(code: AllAccessDisabled)"].iter().any(|code| text.contains(code));
        if is_denied {
            return Self::new(Class::Denied, text, "give the credentials the rights that docs/object-store.md lists");
        }
        Self::new(Class::Passing, text, "it is tried again; if it stays, see what the store says of it")
    }
}

/// Explains the errors of one store: puts its address before each.
#[derive(Clone, Debug)]
pub(super) struct Explainer {
    place: Arc<str>,
    store: &'static str,
}

impl Explainer {
    /// `place` is the store as errors name it.
    pub(super) fn new(place: impl Into<Arc<str>>, store: &'static str) -> Self {
        Self { place: place.into(), store }
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// The same error, of the kind that callers tell it by, with an explanation instead of the library's text.
    pub(super) fn explain(&self, error: Error) -> Error {
        let known = |what: &str| Box::new(Trouble::lasting(format!("{}: {what}", self.place), ""));
        match error {
            Error::NotFound { path, .. } => {
                let next = "if it should be there, see who else deletes in this bucket";
                let source = Box::new(Trouble::lasting(format!("{}: it has no such object", self.place), next));
                Error::NotFound { path, source }
            }
            Error::AlreadyExists { path, .. } => Error::AlreadyExists { path, source: known("the name is taken") },
            Error::Precondition { path, .. } => Error::Precondition { path, source: known("the object is another") },
            Error::NotModified { path, .. } => Error::NotModified { path, source: known("the object is the same") },
            Error::PermissionDenied { path, source } | Error::Unauthenticated { path, source } => {
                self.wrap(self.judge(&*source), path)
            }
            Error::Generic { source, .. } => self.wrap(self.judge(&*source), String::new()),
            // Nothing of a request is in these.
            other => other,
        }
    }

    fn judge(&self, source: &(dyn StdError + Send + Sync + 'static)) -> Trouble {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(source);
        while let Some(error) = cause {
            if let Some(refusal) = error.downcast_ref::<Refusal>() {
                return Trouble::of_refusal(refusal);
            }
            if let Some(silence) = error.downcast_ref::<Silence>() {
                return Trouble::of_silence(silence);
            }
            if let Some(trouble) = error.downcast_ref::<Trouble>() {
                return trouble.clone();
            }
            if let Some(error) = error.downcast_ref::<object_store::client::HttpError>()
                && error.source().is_none_or(|source| !source.is::<Refusal>() && !source.is::<Silence>())
            {
                // A body that broke off while it was read.
                let silence =
                    Silence { host: "the answer".to_owned(), cause: innermost(error), kind: SilenceKind::Broken };
                return Trouble::of_silence(&silence);
            }
            cause = error.source();
        }
        Trouble::of_text(source.to_string())
    }

    fn wrap(&self, trouble: Trouble, path: String) -> Error {
        let trouble = Trouble { what: format!("{}: {}", self.place, trouble.what), ..trouble };
        match trouble.class {
            Class::Denied => Error::PermissionDenied { path, source: Box::new(trouble) },
            _ => Error::Generic { store: self.store, source: Box::new(trouble) },
        }
    }
}

fn innermost(error: &dyn StdError) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(status: u16, code: &str) -> Class {
        let refusal =
            Refusal { host: "h".to_owned(), status, code: code.to_owned(), message: String::new(), region: None };
        Trouble::of_refusal(&refusal).class()
    }

    #[test]
    fn what_passes_by_itself_is_told_from_what_stays() {
        for (status, code, expected) in [
            (503, "SlowDown", Class::Busy),
            (429, "", Class::Busy),
            (500, "InternalError", Class::Passing),
            (200, "InternalError", Class::Passing),
            (400, "RequestTimeout", Class::Passing),
            (400, "BadDigest", Class::Passing),
            (409, "ConditionalRequestConflict", Class::Passing),
            (400, "ExpiredToken", Class::Denied),
            (403, "", Class::Denied),
            (403, "SignatureDoesNotMatch", Class::Denied),
            (403, "RequestTimeTooSkewed", Class::Lasting),
            (404, "NoSuchBucket", Class::Lasting),
            (400, "AuthorizationHeaderMalformed", Class::Lasting),
            (301, "PermanentRedirect", Class::Lasting),
            (416, "InvalidRange", Class::Lasting),
            (501, "NotImplemented", Class::Lasting),
        ] {
            assert_eq!(class(status, code), expected, "{status} {code}");
        }
    }

    #[test]
    fn a_bucket_in_another_region_names_it_and_one_in_this_does_not() {
        let shown = |status, code: &str| {
            let region = Some("eu-west-1".to_owned());
            let refusal =
                Refusal { host: "h".to_owned(), status, code: code.to_owned(), message: String::new(), region };
            Trouble::of_refusal(&refusal).to_string()
        };
        for (status, code) in [(301, "PermanentRedirect"), (400, "AuthorizationHeaderMalformed"), (400, "")] {
            let shown = shown(status, code);
            assert!(shown.ends_with("write ?region=eu-west-1"), "{shown}");
        }
        // AWS says where a bucket is with other answers too.
        assert!(!shown(400, "ExpiredToken").contains("region"));
    }

    #[test]
    fn a_machine_without_a_role_is_told_what_to_set() {
        let host = "169.254.169.254".to_owned();
        let refusal = Refusal { host, status: 404, code: String::new(), message: String::new(), region: None };
        let trouble = Trouble::of_refusal(&refusal);
        assert_eq!(trouble.class(), Class::Denied);
        assert!(trouble.to_string().contains("AWS_PROFILE"), "{trouble}");
        assert!(gives_credentials("169.254.170.2:80") && !gives_credentials("s3.eu-west-1.amazonaws.com"));
    }
}
