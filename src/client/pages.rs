//! [`turn`]: from one page of a list to the next.
//!
//! Law: a server that gives the same token twice is told of, not asked for ever.

use crate::client::error::ClientError;

/// Puts the next page's token in the place of the last one's; whether there is a next page.
///
/// # Errors
/// [`ClientError::Answer`] where it is the same again.
pub(super) fn turn(token: &mut String, next: String) -> Result<bool, ClientError> {
    if next == *token && !next.is_empty() {
        return Err(ClientError::Answer("the same next_page_token twice".to_owned()));
    }
    *token = next;
    Ok(!token.is_empty())
}
