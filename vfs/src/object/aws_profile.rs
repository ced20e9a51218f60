//! Profiles of `~/.aws/credentials`: the file, read, and kept fresh. `object_store` does not know them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use object_store::aws::AwsCredential;
use object_store::{CredentialProvider, Result};

use super::trouble::Trouble;
use crate::{Clock, Moment};

/// How old a profile that was read may become. Tools write temporary credentials into it anew, well before the old ones end.
const FRESH_FOR: Duration = Duration::from_secs(30);

/// What a profile holds.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Profile {
    pub(super) access_key_id: String,
    pub(super) secret_access_key: String,
    pub(super) session_token: Option<String>,
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile").finish_non_exhaustive()
    }
}

impl Profile {
    fn credential(self) -> Arc<AwsCredential> {
        let Self { access_key_id, secret_access_key, session_token } = self;
        Arc::new(AwsCredential { key_id: access_key_id, secret_key: secret_access_key, token: session_token })
    }
}

/// Why a profile gives no credentials; nothing of the file's content is in it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProfileError {
    #[error("cannot read {path}: {cause}")]
    Unreadable { path: PathBuf, cause: String },
    #[error("{path} has no profile [{profile}]")]
    Absent { path: PathBuf, profile: String },
    #[error("the profile [{profile}] of {path} has no {key}")]
    Incomplete { path: PathBuf, profile: String, key: &'static str },
}

/// Reads `profile` of the file at `path`.
pub(super) fn read(path: &Path, profile: &str) -> Result<Profile, ProfileError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ProfileError::Unreadable { path: path.to_owned(), cause: error.to_string() })?;
    let Some(keys) = section(&text, profile) else {
        return Err(ProfileError::Absent { path: path.to_owned(), profile: profile.to_owned() });
    };
    let value = |key: &'static str| {
        let found = keys.iter().rev().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| *value);
        found.filter(|value| !value.is_empty()).map(str::to_owned)
    };
    let needed = |key| {
        let incomplete = || ProfileError::Incomplete { path: path.to_owned(), profile: profile.to_owned(), key };
        value(key).ok_or_else(incomplete)
    };
    Ok(Profile {
        access_key_id: needed("aws_access_key_id")?,
        secret_access_key: needed("aws_secret_access_key")?,
        session_token: value("aws_session_token"),
    })
}

/// The keys of one section; those of a section that is there twice are put together, as the tools of AWS do.
fn section<'a>(text: &'a str, wanted: &str) -> Option<Vec<(&'a str, &'a str)>> {
    let (mut is_inside, mut keys) = (false, None);
    for line in text.lines() {
        // An indented line belongs to a nested setting, of which credentials have none.
        if line.starts_with([' ', '\t']) {
            continue;
        }
        let line = line.trim();
        if line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(name, _)| name.trim()) {
            is_inside = name == wanted;
            if is_inside {
                keys.get_or_insert_with(Vec::new);
            }
        } else if let (true, Some((key, value)), Some(keys)) = (is_inside, line.split_once('='), keys.as_mut()) {
            keys.push((key.trim(), uncommented(value.trim())));
        }
    }
    keys
}

/// A comment begins after white space: a secret may hold a `#`.
fn uncommented(value: &str) -> &str {
    let comment = value.match_indices(['#', ';']).find(|(at, _)| value[..*at].ends_with([' ', '\t']));
    comment.map_or(value, |(at, _)| value[..at].trim_end())
}

/// The credentials of a profile, read again from time to time.
pub(super) struct ProfileCredentials {
    path: PathBuf,
    profile: String,
    clock: Arc<dyn Clock>,
    last: Mutex<(Moment, Arc<AwsCredential>)>,
}

impl ProfileCredentials {
    /// Reads the profile for the first time.
    pub(super) fn open(path: PathBuf, profile: String, clock: Arc<dyn Clock>) -> Result<Self, ProfileError> {
        let last = Mutex::new((clock.now(), read(&path, &profile)?.credential()));
        Ok(Self { path, profile, clock, last })
    }
}

impl fmt::Debug for ProfileCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, profile, .. } = self;
        f.debug_struct("ProfileCredentials").field("path", path).field("profile", profile).finish_non_exhaustive()
    }
}

#[async_trait]
impl CredentialProvider for ProfileCredentials {
    type Credential = AwsCredential;

    /// The file is small and read twice a minute: no thread of its own is worth it.
    async fn get_credential(&self) -> Result<Arc<AwsCredential>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        if now.since(last.0) >= FRESH_FOR {
            match read(&self.path, &self.profile) {
                Ok(profile) => last.1 = profile.credential(),
                // It is being written, or gone: what was read is good until the store says otherwise.
                Err(error) => tracing::warn!(%error, "the credentials that were read before are used on"),
            }
            last.0 = now;
        }
        Ok(Arc::clone(&last.1))
    }
}

impl From<ProfileError> for Trouble {
    fn from(error: ProfileError) -> Self {
        Self::lasting(error.to_string(), "name another profile with AWS_PROFILE, or mend the file")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VirtualClock;

    const FILE: &str = "
# of the machine
[default]
aws_access_key_id = AKIADEFAULT
aws_secret_access_key=secret/of+default#1   # a comment
  nested = x

[ other ]
; old
AWS_ACCESS_KEY_ID=AKIAOTHER
aws_secret_access_key = s
aws_session_token = t=u=
[half]
aws_access_key_id = AKIAHALF
aws_secret_access_key =
";

    fn file() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), FILE).expect("room");
        file
    }

    #[test]
    fn a_profile_is_found_by_its_name() {
        let file = file();
        let default = read(file.path(), "default").expect("it is there");
        assert_eq!(default.access_key_id, "AKIADEFAULT");
        assert_eq!(default.secret_access_key, "secret/of+default#1");
        assert_eq!(default.session_token, None);
        let other = read(file.path(), "other").expect("it is there");
        assert_eq!((other.access_key_id.as_str(), other.session_token.as_deref()), ("AKIAOTHER", Some("t=u=")));
    }

    #[test]
    fn what_a_profile_lacks_is_told_by_name_and_nothing_of_its_content() {
        let file = file();
        assert!(matches!(read(file.path(), "none"), Err(ProfileError::Absent { .. })));
        let error = read(file.path(), "half").expect_err("its secret is empty");
        assert!(error.to_string().contains("has no aws_secret_access_key") && !error.to_string().contains("AKIA"));
        assert!(matches!(read(Path::new("/nowhere/at/all"), "default"), Err(ProfileError::Unreadable { .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn a_profile_that_is_written_anew_is_found_soon_and_a_broken_file_changes_nothing() {
        let (file, clock) = (file(), Arc::new(VirtualClock::new()));
        let provider =
            ProfileCredentials::open(file.path().to_owned(), "default".to_owned(), clock.clone()).expect("it is there");
        let key = async || provider.get_credential().await.expect("it was read").key_id.clone();
        std::fs::write(file.path(), "[default]\naws_access_key_id = NEW\naws_secret_access_key = s\n").expect("room");
        assert_eq!(key().await, "AKIADEFAULT", "it is fresh enough");
        tokio::time::advance(FRESH_FOR).await;
        assert_eq!(key().await, "NEW");
        std::fs::write(file.path(), "[de").expect("room");
        tokio::time::advance(FRESH_FOR).await;
        assert_eq!(key().await, "NEW");
        assert!(!format!("{provider:?}").contains("AKIA"));
    }
}
