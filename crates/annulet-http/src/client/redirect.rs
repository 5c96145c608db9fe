//! Following redirects (RFC 9110 §15.4).

use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_TYPE,
    COOKIE, EXPECT, HOST, HeaderName, PROXY_AUTHORIZATION, TRANSFER_ENCODING,
};
use http::{Method, StatusCode};

use super::error::ClientError;
use super::request::Prepared;
use super::response::ClientResponse;
use super::target::without_user;
use super::upload::RequestBody;

/// Fields that are for one host alone.
const CREDENTIALS: [HeaderName; 4] = [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE, HOST];
/// Fields about a body.
const CONTENT: [HeaderName; 7] = [
    CONTENT_TYPE,
    CONTENT_LENGTH,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LOCATION,
    TRANSFER_ENCODING,
    EXPECT,
];

/// Makes `request` the one that the response asks for. False when the response is none that is followed.
pub(super) fn redirect(request: &mut Prepared, response: &ClientResponse) -> Result<bool, ClientError> {
    let status = response.status();
    let is_redirect = matches!(
        status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let Some(location) = response.header("location").filter(|_| is_redirect) else { return Ok(false) };
    let becomes_get = match status {
        StatusCode::SEE_OTHER => request.method != Method::HEAD,
        // What everybody does with these (RFC 9110 §15.4.2, note).
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => request.method == Method::POST,
        _ => false,
    };
    if !becomes_get && !request.body.can_be_sent() {
        return Ok(false);
    }
    let text = String::from_utf8_lossy(location);
    let target = request.target.join(&text).map_err(|error| match error {
        ClientError::Url { reason, .. } => refused(&without_user(&text), reason),
        ClientError::Tls { url } => refused(&url, "to https, which is not built in yet"),
        other => other,
    })?;
    if target.host != request.target.host {
        CREDENTIALS.iter().for_each(|name| drop(request.headers.remove(name)));
    }
    if becomes_get {
        request.method = Method::GET;
        request.body = RequestBody::None;
        CONTENT.iter().for_each(|name| drop(request.headers.remove(name)));
    }
    request.target = target;
    Ok(true)
}

#[cold]
pub(super) fn refused(location: &str, reason: &'static str) -> ClientError {
    ClientError::Redirect { location: location.to_owned(), reason }
}
