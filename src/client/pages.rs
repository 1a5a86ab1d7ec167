//! [`every`]: a list, page by page.
//!
//! Law: a server that gives the same token twice is told of, not asked for ever.

use std::future::Future;

use crate::client::error::ClientError;

/// As many as a server gives at once.
pub(super) const PAGE_SIZE: u32 = 1_000;

/// All of a list: `page` asks for the one that a token leads to, and answers what is on it and the next
/// one's token.
///
/// # Errors
/// As `page`; [`ClientError::Answer`] where a token is the same again.
pub(super) async fn every<T, Asked>(page: impl Fn(String) -> Asked) -> Result<Vec<T>, ClientError>
where
    Asked: Future<Output = Result<(Vec<T>, String), ClientError>>,
{
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let (some, next) = page(token.clone()).await?;
        all.extend(some);
        if next.is_empty() {
            return Ok(all);
        }
        if next == token {
            return Err(ClientError::Answer("the same next_page_token twice".to_owned()));
        }
        token = next;
    }
}
