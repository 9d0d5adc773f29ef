//! Requests and answers of the crate http as those of http-types, and back, by hand: http-types knows http 0.2 only, and
//! its own conversions panic.

use std::str::FromStr;

use futures_util::io::AsyncReadExt;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue};
use http_types::headers::{HeaderName as TypesName, HeaderValue as TypesValue};
use http_types::{Method, StatusCode, Url};
use larder_core::Error;
use larder_rest::{Body, ResponseBody};
use percent_encoding::percent_decode_str;

use crate::body::{Frames, Reader};
use crate::error::{inexpressible, unintelligible};

/// What an answer was before http-types: an extension of responses that it can't express. Middleware gets it by
/// `response.ext::<Original>()`.
#[derive(Clone, Debug)]
pub struct Original {
    status: u16,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Original {
    /// The status that the server has sent.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }
}

/// A status that http-types knows: that one, or one that stands for its class.
fn known(status: u16) -> StatusCode {
    StatusCode::try_from(status).unwrap_or(match status {
        200..=299 => StatusCode::Ok,
        300..=399 => StatusCode::MultipleChoice,
        400..=499 => StatusCode::BadRequest,
        _ => StatusCode::InternalServerError,
    })
}

// ---- from us to surf ----

/// Our request for surf.
///
/// # Errors
/// `Invalid`, never sent, for a method, URL or header that surf would refuse, change or panic on.
pub(crate) fn request_to_surf(request: http::Request<Body>) -> Result<surf::Request, Error> {
    let (parts, body) = request.into_parts();
    let method = Method::from_str(parts.method.as_str())
        .map_err(|_| inexpressible(format!("surf does not know the method {}", parts.method)))?;
    let mut converted = http_types::Request::new(method, url(&parts.uri)?);
    for (name, value) in &parts.headers {
        let (name, value) = header_to_types(name, value).ok_or_else(|| {
            inexpressible(format!("the value of the header `{name}` is not ASCII, which surf asks for"))
        })?;
        converted.append_header(name, value);
    }
    let body = body.bytes();
    if !body.is_empty() {
        converted.set_body(http_types::Body::from_bytes(body.to_vec()));
    }
    Ok(converted.into())
}

/// The URL, which has to mean the same to the crate url: that resolves `..` and takes a backslash for a slash.
fn url(uri: &http::Uri) -> Result<Url, Error> {
    // The URL itself is not shown: there may be a secret in its query.
    let url = Url::parse(&uri.to_string())
        .map_err(|error| inexpressible(format!("surf can't read the URL: {error}")))?;
    let decoded = |path: &str| percent_decode_str(path).collect::<Vec<_>>();
    if decoded(url.path()) != decoded(uri.path()) {
        return Err(inexpressible("surf would change the path of the URL"));
    }
    Ok(url)
}

fn header_to_types(name: &HeaderName, value: &HeaderValue) -> Option<(TypesName, TypesValue)> {
    let name = TypesName::from_bytes(name.as_str().into()).ok()?;
    let value = TypesValue::from_bytes(value.as_bytes().to_vec()).ok()?;
    Some((name, value))
}

/// surf's answer for us.
///
/// # Errors
/// `Transport`, answered, for a header that HTTP does not allow.
pub(crate) fn response_from_surf(response: surf::Response) -> Result<http::Response<ResponseBody>, Error> {
    let mut response: http_types::Response = response.into();
    let original = response.ext().get::<Original>().cloned();
    // A middleware may have changed the status since.
    let status = match &original {
        Some(original) if known(original.status) == response.status() => original.status,
        _ => response.status().into(),
    };
    let mut converted = http::Response::new(ResponseBody::new(Frames::new(response.take_body())));
    *converted.status_mut() =
        http::StatusCode::from_u16(status).map_err(|_| unintelligible(format!("{status} is no status")))?;
    let headers = converted.headers_mut();
    for (name, values) in response.iter() {
        for value in values {
            let (name, value) = header_from_types(name, value)
                .ok_or_else(|| unintelligible(format!("the header `{name}` of the answer is malformed")))?;
            headers.append(name, value);
        }
    }
    for (name, value) in original.into_iter().flat_map(|original| original.headers) {
        headers.append(name, value);
    }
    Ok(converted)
}

fn header_from_types(name: &TypesName, value: &TypesValue) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
    let value = HeaderValue::from_str(value.as_str()).ok()?;
    Some((name, value))
}

// ---- from surf to us ----

/// surf's request for us; its body is read, of at most so many bytes.
///
/// # Errors
/// `Invalid`, never sent, for a URL or header that HTTP does not allow, and for a body that breaks off or is too long.
pub(crate) async fn request_from_surf(
    mut request: http_types::Request,
    limit: usize,
) -> Result<http::Request<Body>, Error> {
    let mut url = request.url().clone();
    if !url.username().is_empty() || url.password().is_some() {
        return Err(inexpressible("the URL holds a user name or a password; send them in a header"));
    }
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(inexpressible("the URL is not one of http"));
    }
    url.set_fragment(None);
    let uri: http::Uri =
        url.as_str().parse().map_err(|error| inexpressible(format!("the URL can't be sent: {error}")))?;
    let method = http::Method::from_bytes(request.method().as_ref().as_bytes())
        .map_err(|_| inexpressible("the method can't be sent"))?;
    let mut converted = http::Request::new(Body::empty());
    *converted.uri_mut() = uri;
    *converted.method_mut() = method;
    for (name, values) in request.iter() {
        for value in values {
            let (name, value) = header_from_types(name, value).ok_or_else(|| {
                inexpressible(format!("the header `{name}` holds characters that can't be sent"))
            })?;
            // The body is sent in one piece, whose length is known below.
            if name != CONTENT_LENGTH && name != TRANSFER_ENCODING {
                converted.headers_mut().append(name, value);
            }
        }
    }
    *converted.body_mut() = read(request.take_body(), limit).await?.into();
    Ok(converted)
}

async fn read(body: http_types::Body, limit: usize) -> Result<Vec<u8>, Error> {
    let too_long = || inexpressible(format!("the body is longer than the limit of {limit} bytes"));
    if body.len().is_some_and(|length| length > limit) {
        return Err(too_long());
    }
    let mut read = Vec::new();
    let most = (limit as u64).saturating_add(1);
    let done = body.take(most).read_to_end(&mut read).await;
    done.map_err(|error| inexpressible("the body can't be read").because(error))?;
    if read.len() > limit { Err(too_long()) } else { Ok(read) }
}

/// Our answer for surf, with what it can't express beside it.
pub(crate) fn response_to_surf(response: http::Response<ResponseBody>) -> http_types::Response {
    let (parts, body) = response.into_parts();
    let status = parts.status.as_u16();
    let mut converted = http_types::Response::new(known(status));
    let mut original = Original { status, headers: Vec::new() };
    for (name, value) in &parts.headers {
        match header_to_types(name, value) {
            Some((name, value)) => converted.append_header(name, value),
            None => original.headers.push((name.clone(), value.clone())),
        }
    }
    converted.set_body(Reader::body(body));
    if !parts.headers.contains_key(CONTENT_TYPE) {
        // http-types has made one up.
        converted.remove_header(CONTENT_TYPE.as_str());
    }
    if u16::from(converted.status()) != status || !original.headers.is_empty() {
        converted.ext_mut().insert(original);
    }
    converted
}
