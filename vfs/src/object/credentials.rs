//! Who asks an object store: the credentials that were given, or where else they are found. Owns the order of the places; what
//! is given here is printed by nothing.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};

use super::aws_profile::ProfileCredentials;
use super::trouble::Trouble;
use crate::Clock;

/// Credentials that the settings give. All of them may be absent.
///
/// For S3 the first of these that is there is used:
///
/// 1. this value, where it has an `access_key_id` and a `secret_access_key`;
/// 2. `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` of the environment, with `AWS_SESSION_TOKEN`;
/// 3. the profile `AWS_PROFILE`, or `default`, of the file `AWS_SHARED_CREDENTIALS_FILE`, or `~/.aws/credentials`. The file is read
///    again twice a minute, so that temporary credentials may be written into it anew. A named profile must be there;
/// 4. `AWS_WEB_IDENTITY_TOKEN_FILE` with `AWS_ROLE_ARN` (Kubernetes' service accounts), then `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`
///    (ECS) or `…_FULL_URI` with `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE` (EKS pod identity), then the role of the machine, asked of
///    its metadata service. These are renewed before they end.
///
/// Azure takes the account's name as `access_key_id` (unless the address has it) and its key as `secret_access_key`, else what
/// `AZURE_…` variables say, else the machine's identity. Google Cloud takes none from here: `GOOGLE_SERVICE_ACCOUNT` or
/// `GOOGLE_APPLICATION_CREDENTIALS` name a file, and without them the machine's identity is asked for.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ObjectStoreCredentials {
    /// The name of the key.
    pub access_key_id: Option<String>,
    /// The key.
    pub secret_access_key: Option<String>,
    /// What temporary keys come with.
    pub session_token: Option<String>,
}

/// Which of them are there, and nothing of them.
impl fmt::Debug for ObjectStoreCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |secret: &Option<String>| if secret.is_some() { "given" } else { "absent" };
        f.debug_struct("ObjectStoreCredentials")
            .field("access_key_id", &shown(&self.access_key_id))
            .field("secret_access_key", &shown(&self.secret_access_key))
            .field("session_token", &shown(&self.session_token))
            .finish()
    }
}

/// Variables of the environment by name, a seam for tests.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The process's own environment; an empty variable is as good as none.
pub(super) fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Where the credentials of an S3 store were found.
#[derive(Debug)]
pub(super) enum S3Credentials {
    Keys(Keys),
    Profile(ProfileCredentials),
    /// The platform gives them: what `object_store` is told of it.
    Platform(Vec<(AmazonS3ConfigKey, String)>),
}

#[derive(PartialEq, Eq)]
pub(super) struct Keys {
    id: String,
    secret: String,
    token: Option<String>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

/// What of the environment says how the platform gives credentials.
const PLATFORM: &[(&str, AmazonS3ConfigKey)] = &[
    ("AWS_WEB_IDENTITY_TOKEN_FILE", AmazonS3ConfigKey::WebIdentityTokenFile),
    ("AWS_ROLE_ARN", AmazonS3ConfigKey::RoleArn),
    ("AWS_ROLE_SESSION_NAME", AmazonS3ConfigKey::RoleSessionName),
    ("AWS_ENDPOINT_URL_STS", AmazonS3ConfigKey::StsEndpoint),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", AmazonS3ConfigKey::ContainerCredentialsRelativeUri),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", AmazonS3ConfigKey::ContainerCredentialsFullUri),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", AmazonS3ConfigKey::ContainerAuthorizationTokenFile),
    ("AWS_METADATA_ENDPOINT", AmazonS3ConfigKey::MetadataEndpoint),
];

impl S3Credentials {
    /// Finds them in the order that [`ObjectStoreCredentials`] tells.
    pub(super) fn find(
        given: &ObjectStoreCredentials,
        environment: Environment<'_>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, Trouble> {
        let ObjectStoreCredentials { access_key_id, secret_access_key, session_token } = given;
        let of_settings = (access_key_id.clone(), secret_access_key.clone());
        let names = ["access_key_id", "secret_access_key"];
        if let Some(found) = Self::pair(of_settings, session_token.clone(), names)? {
            return Ok(found);
        }
        let names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
        let of_environment = (environment(names[0]), environment(names[1]));
        if let Some(found) = Self::pair(of_environment, environment("AWS_SESSION_TOKEN"), names)? {
            return Ok(found);
        }
        let named = environment("AWS_PROFILE");
        let file = environment("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
        let file =
            file.or_else(|| environment("HOME").map(|home| PathBuf::from(home).join(".aws").join("credentials")));
        let is_named = named.is_some();
        if let Some(file) = file {
            let profile = named.unwrap_or_else(|| "default".to_owned());
            match ProfileCredentials::open(file, profile, Arc::clone(clock)) {
                Ok(profile) => return Ok(Self::Profile(profile)),
                Err(error) if is_named => return Err(error.into()),
                Err(_) => {}
            }
        }
        let said = PLATFORM.iter().filter_map(|(name, key)| Some((*key, environment(name)?)));
        Ok(Self::Platform(said.collect()))
    }

    /// Half a pair is a mistake, not a reason to look elsewhere.
    fn pair(
        pair: (Option<String>, Option<String>),
        token: Option<String>,
        names: [&str; 2],
    ) -> Result<Option<Self>, Trouble> {
        let half = |has: &str, lacks: &str| {
            Err(Trouble::lasting(format!("there is a {has} without a {lacks}"), format!("set {lacks} too")))
        };
        match pair {
            (None, None) => Ok(None),
            (Some(id), Some(secret)) => Ok(Some(Self::Keys(Keys { id, secret, token }))),
            (Some(_), None) => half(names[0], names[1]),
            (None, Some(_)) => half(names[1], names[0]),
        }
    }

    /// Tells them to the builder of a store.
    pub(super) fn give(self, builder: AmazonS3Builder) -> AmazonS3Builder {
        match self {
            Self::Keys(Keys { id, secret, token }) => {
                let builder = builder.with_access_key_id(id).with_secret_access_key(secret);
                token.into_iter().fold(builder, AmazonS3Builder::with_token)
            }
            Self::Profile(profile) => builder.with_credentials(Arc::new(profile)),
            Self::Platform(said) => {
                said.into_iter().fold(builder, |builder, (key, value)| builder.with_config(key, value))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::SystemClock;

    fn find(given: &ObjectStoreCredentials, variables: &[(&str, &str)]) -> Result<S3Credentials, Trouble> {
        let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        S3Credentials::find(given, &|name| variables.get(name).map(|value| (*value).to_owned()), &clock)
    }

    fn given(id: &str, secret: &str) -> ObjectStoreCredentials {
        let [access_key_id, secret_access_key] = [id, secret].map(|text| Some(text.to_owned()));
        ObjectStoreCredentials { access_key_id, secret_access_key, session_token: None }
    }

    #[test]
    fn credentials_are_taken_from_the_first_place_that_has_them() {
        let home = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir(home.path().join(".aws")).expect("room");
        let text = "[default]\naws_access_key_id = P\naws_secret_access_key = p\n";
        std::fs::write(home.path().join(".aws/credentials"), text).expect("room");
        let home = home.path().to_str().expect("UTF-8");
        let all = [
            ("AWS_ACCESS_KEY_ID", "E"),
            ("AWS_SECRET_ACCESS_KEY", "e"),
            ("AWS_SESSION_TOKEN", "t"),
            ("HOME", home),
            ("AWS_ROLE_ARN", "arn"),
        ];
        let keys = |found: S3Credentials| match found {
            S3Credentials::Keys(keys) => (keys.id, keys.token),
            other => panic!("{other:?}"),
        };
        let found = find(&given("G", "g"), &all).expect("given");
        assert_eq!(keys(found), ("G".to_owned(), None), "the environment's token belongs to its own key");
        let found = find(&ObjectStoreCredentials::default(), &all).expect("of the environment");
        assert_eq!(keys(found), ("E".to_owned(), Some("t".to_owned())));
        let found = find(&ObjectStoreCredentials::default(), &all[3..]).expect("of the profile");
        assert!(matches!(found, S3Credentials::Profile(_)));
        let found = find(&ObjectStoreCredentials::default(), &all[4..]).expect("of the platform");
        assert!(matches!(found, S3Credentials::Platform(said) if said.len() == 1));
    }

    #[test]
    fn half_a_pair_and_a_named_profile_that_is_not_there_are_mistakes() {
        let half = ObjectStoreCredentials { secret_access_key: None, ..given("G", "g") };
        let error = find(&half, &[]).expect_err("its secret is missing").to_string();
        assert!(error.contains("access_key_id without a secret_access_key"), "{error}");
        let error = find(&ObjectStoreCredentials::default(), &[("AWS_SECRET_ACCESS_KEY", "e")]).expect_err("no id");
        assert!(error.to_string().contains("AWS_SECRET_ACCESS_KEY without a AWS_ACCESS_KEY_ID"), "{error}");
        let missing = [("AWS_PROFILE", "ops"), ("AWS_SHARED_CREDENTIALS_FILE", "/nowhere/at/all")];
        let error = find(&ObjectStoreCredentials::default(), &missing).expect_err("a named profile must be there");
        assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
    }
}
