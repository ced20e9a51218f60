//! S3, Google Cloud Storage and Azure behind one type: how they are opened, and what their errors become. The client libraries are
//! `object_store`'s; repeating a request is not their business but [`super::RetryingStore`]'s, so that each attempt is counted.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    BackoffConfig, ClientOptions, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartId,
    MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    RetryConfig, UploadPart,
};

use super::address::{Bucket, Endpoint, S3Place};
use super::answers::Connector;
use super::credentials::{Environment, ObjectStoreCredentials, S3Credentials};
use super::trouble::{Explainer, Trouble};
use crate::Clock;

/// Where AWS puts a bucket that nobody said a place for.
const DEFAULT_REGION: &str = "us-east-1";

/// A store in a cloud, under a prefix. Its errors say where, why and what to do; which of them pass by themselves is known to
/// [`super::RetryingStore`].
#[derive(Clone)]
pub(super) struct CloudStore {
    objects: Arc<dyn ObjectStore>,
    /// The same store, by pieces of an upload.
    pieces: Arc<dyn MultipartStore>,
    explainer: Explainer,
}

/// How long a request may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) request: Duration,
    pub(super) connect: Duration,
}

impl CloudStore {
    fn new<S: ObjectStore + MultipartStore>(store: S, prefix: &str, explainer: Explainer) -> Self {
        // Not `from`, which would encode once more what the address has said.
        let prefix = Path::parse(prefix).expect("an address holds only prefixes that are paths");
        let prefixed = Arc::new(PrefixStore::new(store, prefix));
        Self { objects: Arc::clone(&prefixed) as _, pieces: prefixed, explainer }
    }

    /// S3, or what speaks its protocol. Sends nothing yet.
    pub(super) fn s3(
        place: &S3Place,
        credentials: &ObjectStoreCredentials,
        patience: Patience,
        environment: Environment<'_>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self> {
        let S3Place { bucket, region, path_style } = place;
        let of_environment = || environment("AWS_REGION").or_else(|| environment("AWS_DEFAULT_REGION"));
        let region = region.clone().or_else(of_environment).unwrap_or_else(|| DEFAULT_REGION.to_owned());
        // A certificate of AWS is good for one label before its own name, and a dot would make two of the bucket's.
        let path_style = path_style.unwrap_or(bucket.endpoint.is_some() || bucket.name.contains('.'));
        let explainer = Explainer::new(format!("{}, region {region}", described("s3", bucket)), "S3");
        let found =
            S3Credentials::find(credentials, environment, clock).map_err(|trouble| explainer.refuse(trouble))?;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&bucket.name)
            .with_region(region)
            .with_virtual_hosted_style_request(!path_style)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_client_options(client_options(bucket, patience))
            .with_retry(no_retry())
            .with_http_connector(Connector);
        if let Some(Endpoint { is_http, rest }) = &bucket.endpoint {
            let scheme = if *is_http { "http" } else { "https" };
            let of_bucket = if path_style { String::new() } else { format!("{}.", bucket.name) };
            builder = builder.with_endpoint(format!("{scheme}://{of_bucket}{rest}"));
        }
        let store = found.give(builder).build().map_err(|error| explainer.explain(error))?;
        Ok(Self::new(store, &bucket.prefix, explainer))
    }

    /// Google Cloud Storage. Sends nothing yet.
    pub(super) fn gcs(bucket: &Bucket, credentials: &ObjectStoreCredentials, patience: Patience) -> Result<Self> {
        let explainer = Explainer::new(described("gs", bucket), "GCS");
        if *credentials != ObjectStoreCredentials::default() {
            return Err(explainer.refuse(Trouble::lasting(
                "Google Cloud Storage has no access key",
                "remove access_key_id, secret_access_key and session_token, and name a file in GOOGLE_SERVICE_ACCOUNT",
            )));
        }
        let mut builder = GoogleCloudStorageBuilder::from_env()
            .with_bucket_name(&bucket.name)
            .with_client_options(client_options(bucket, patience))
            .with_retry(no_retry())
            .with_http_connector(Connector);
        if let Some(endpoint) = &bucket.endpoint {
            builder = builder.with_base_url(&endpoint.to_string());
        }
        let store = builder.build().map_err(|error| explainer.explain(error))?;
        Ok(Self::new(store, &bucket.prefix, explainer))
    }

    /// Azure Blob Storage. Sends nothing yet.
    pub(super) fn azure(
        container: &Bucket,
        account: Option<&str>,
        credentials: &ObjectStoreCredentials,
        patience: Patience,
    ) -> Result<Self> {
        let explainer = Explainer::new(described("az", container), "Azure");
        let mut builder = MicrosoftAzureBuilder::from_env()
            .with_container_name(&container.name)
            .with_client_options(client_options(container, patience))
            .with_retry(no_retry())
            .with_http_connector(Connector);
        if let Some(account) = account.or(credentials.access_key_id.as_deref()) {
            builder = builder.with_account(account);
        }
        if let Some(key) = &credentials.secret_access_key {
            builder = builder.with_access_key(key);
        }
        if let Some(endpoint) = &container.endpoint {
            builder = builder.with_endpoint(endpoint.to_string());
        }
        let store = builder.build().map_err(|error| explainer.explain(error))?;
        Ok(Self::new(store, &container.prefix, explainer))
    }
}

fn described(scheme: &str, bucket: &Bucket) -> String {
    let endpoint = bucket.endpoint.as_ref().map(|endpoint| format!(" at {endpoint}")).unwrap_or_default();
    format!("{scheme}://{bucket}{endpoint}")
}

fn client_options(bucket: &Bucket, patience: Patience) -> ClientOptions {
    ClientOptions::new()
        .with_timeout(patience.request)
        .with_connect_timeout(patience.connect)
        // A bound on what one stalled store keeps open; requests beyond it connect anew.
        .with_pool_max_idle_per_host(64)
        .with_allow_http(bucket.endpoint.as_ref().is_some_and(|endpoint| endpoint.is_http))
}

/// The library's own retries would hide attempts from the metrics, and multiply with ours.
fn no_retry() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: 0, retry_timeout: Duration::ZERO }
}

#[async_trait]
impl ObjectStore for CloudStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.objects.put_opts(location, payload, options).await.map_err(|error| self.explainer.explain(error))
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.objects.put_multipart_opts(location, options).await;
        let inner = inner.map_err(|error| self.explainer.explain(error))?;
        Ok(Box::new(CloudUpload { inner, explainer: self.explainer.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let answer = self.objects.get_opts(location, options).await;
        let mut answer = answer.map_err(|error| self.explainer.explain(error))?;
        if let GetResultPayload::Stream(body) = answer.payload {
            let explainer = self.explainer.clone();
            answer.payload = GetResultPayload::Stream(body.map_err(move |error| explainer.explain(error)).boxed());
        }
        Ok(answer)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.objects.get_ranges(location, ranges).await.map_err(|error| self.explainer.explain(error))
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let explainer = self.explainer.clone();
        self.objects.delete_stream(locations).map_err(move |error| explainer.explain(error)).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let explainer = self.explainer.clone();
        self.objects.list(prefix).map_err(move |error| explainer.explain(error)).boxed()
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        let explainer = self.explainer.clone();
        self.objects.list_with_offset(prefix, offset).map_err(move |error| explainer.explain(error)).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await.map_err(|error| self.explainer.explain(error))
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.objects.copy_opts(from, to, options).await.map_err(|error| self.explainer.explain(error))
    }
}

#[async_trait]
impl MultipartStore for CloudStore {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        self.pieces.create_multipart(path).await.map_err(|error| self.explainer.explain(error))
    }

    async fn put_part(&self, path: &Path, id: &MultipartId, index: usize, data: PutPayload) -> Result<PartId> {
        self.pieces.put_part(path, id, index, data).await.map_err(|error| self.explainer.explain(error))
    }

    async fn complete_multipart(&self, path: &Path, id: &MultipartId, parts: Vec<PartId>) -> Result<PutResult> {
        self.pieces.complete_multipart(path, id, parts).await.map_err(|error| self.explainer.explain(error))
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        self.pieces.abort_multipart(path, id).await.map_err(|error| self.explainer.explain(error))
    }
}

/// What the store is called, without what its library could say of it.
impl fmt::Display for CloudStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.explainer.place())
    }
}

impl fmt::Debug for CloudStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloudStore({self})")
    }
}

#[derive(Debug)]
struct CloudUpload {
    inner: Box<dyn MultipartUpload>,
    explainer: Explainer,
}

#[async_trait]
impl MultipartUpload for CloudUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (part, explainer) = (self.inner.put_part(data), self.explainer.clone());
        async move { part.await.map_err(|error| explainer.explain(error)) }.boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.inner.complete().await.map_err(|error| self.explainer.explain(error))
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await.map_err(|error| self.explainer.explain(error))
    }
}

impl Explainer {
    /// What keeps a store from being opened.
    fn refuse(&self, trouble: Trouble) -> Error {
        self.explain(Error::Generic { store: "settings", source: Box::new(trouble) })
    }
}
