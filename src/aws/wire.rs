//! The way to S3 and back, between `object_store` and HTTP. Three things are put right here for every request. Keys that a path
//! cannot have come and go with their marks. A reply that breaks off is as good as none and is asked for again, or, where it
//! says what went wrong, counts for its status. And a bucket that is not there is not taken for a key that is not there.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::aws::AwsAuthorizer;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use object_store::{ClientOptions, CredentialProvider};

use super::credentials::Credentials;
use crate::source::keys;

/// How a URL spells the mark of an odd part of a key.
const MARK_IN_URL: &str = "%EE%80%80";

/// What connects to one bucket.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    pub(super) bucket: String,
    pub(super) region: String,
    pub(super) credentials: Option<Arc<Credentials>>,
}

impl HttpConnector for Wire {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let http = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Connected { http, wire: self.clone() }))
    }
}

#[derive(Debug)]
struct Connected {
    http: HttpClient,
    wire: Wire,
}

/// A bucket that is not there.
#[derive(Debug, thiserror::Error)]
#[error("there is no bucket `{0}` (NoSuchBucket)")]
struct NoBucket(String);

/// A request that cannot be sent.
#[derive(Debug, thiserror::Error)]
#[error("a key with `//` in it cannot be asked for: {0}")]
struct OddKey(Box<dyn std::error::Error + Send + Sync>);

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// The bytes of an object, which may be many and are passed on as they come.
    Object,
    /// A page of keys.
    Keys,
    /// Something else, with a short reply.
    Other,
}

#[async_trait]
impl HttpService for Connected {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if request.uri().path().contains(MARK_IN_URL) {
            self.wire
                .without_marks(&mut request)
                .await
                .map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        }
        let asked = asked(&request);
        let response = self.http.execute(request).await?;
        if asked == Asked::Object && response.status().is_success() {
            return Ok(response);
        }
        let (mut parts, body) = response.into_parts();
        let body = match body.bytes().await {
            Ok(body) => body,
            // The status says what is wrong; the rest only says it in words.
            Err(_) if !parts.status.is_success() => Bytes::new(),
            Err(error) => return Err(HttpError::new(HttpErrorKind::Interrupted, error)),
        };
        if parts.status.as_u16() == 404 && memchr::memmem::find(&body, b"<Code>NoSuchBucket<").is_some() {
            return Err(HttpError::new(HttpErrorKind::Unknown, NoBucket(self.wire.bucket.clone())));
        }
        let body = match asked {
            Asked::Keys if parts.status.is_success() => {
                parts.headers.remove("content-length");
                with_marks(body)
            }
            _ => body,
        };
        Ok(HttpResponse::from_parts(parts, body.into()))
    }
}

fn asked(request: &HttpRequest) -> Asked {
    let lists = request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair == "list-type=2"));
    match request.method().as_str() {
        "GET" if lists => Asked::Keys,
        "GET" => Asked::Object,
        _ => Asked::Other,
    }
}

impl Wire {
    /// Asks for the key itself. The signature covers the address, so the request is signed anew.
    async fn without_marks(&self, request: &mut HttpRequest) -> Result<(), OddKey> {
        let address = request.uri().to_string();
        let (path, query) = address.split_once('?').map_or((&*address, None), |(path, query)| (path, Some(query)));
        let parts: Vec<&str> = path.split('/').map(|part| part.strip_prefix(MARK_IN_URL).unwrap_or(part)).collect();
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        *request.uri_mut() = format!("{}{query}", parts.join("/")).parse().map_err(|error| OddKey(Box::new(error)))?;
        let credentials = self.credentials.as_ref().ok_or_else(|| OddKey("no credentials".into()))?;
        let credential = credentials.get_credential().await.map_err(|error| OddKey(Box::new(error)))?;
        AwsAuthorizer::new(&credential, "s3", &self.region).authorize(request, None);
        Ok(())
    }
}

/// A page of keys in which `object_store` finds only such as it can make paths of.
fn with_marks(page: Bytes) -> Bytes {
    const BEGIN: &str = "<Key>";
    let Ok(text) = std::str::from_utf8(&page) else { return page };
    let mut marked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, from_key)) = rest.split_once(BEGIN) {
        let end = from_key.find('<').unwrap_or(from_key.len());
        let (key, after) = from_key.split_at(end);
        marked.extend([before, BEGIN, &keys::marked(key)]);
        rest = after;
    }
    if marked.len() + rest.len() == text.len() {
        return page;
    }
    marked.push_str(rest);
    marked.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_page_are_marked_and_nothing_else_is() {
        let page = "<R><Prefix>a//</Prefix><Contents><Key>a//b&amp;c</Key><Size>1</Size></Contents><Contents><Key>d/e</Key></Contents></R>";
        let marked = with_marks(Bytes::from_static(page.as_bytes()));
        assert_eq!(marked, page.replace("a//b", "a/\u{E000}/b"));
        let plain = Bytes::from_static(b"<R><Key>a/b</Key><Key>c</Key></R>");
        assert_eq!(with_marks(plain.clone()), plain);
    }

    #[test]
    fn the_mark_is_the_one_of_the_keys() {
        let mut bytes = [0; 4];
        let in_url: String = keys::MARK.encode_utf8(&mut bytes).bytes().map(|byte| format!("%{byte:02X}")).collect();
        assert_eq!(in_url, MARK_IN_URL);
    }
}
