//! JSON values as names and values for people.
//!
//! Its law: nothing is left out but what is absent or empty; bytes and pages are also said in
//! units.

use serde_json::Value;

use crate::size::{human, human_pages};

/// The leaves of an object, each by its path, in order of name.
pub(crate) fn flat(value: &Value) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    walk("", value, &mut rows);
    rows
}

fn walk(path: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    match value {
        Value::Null => (),
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                walk(&path, value, rows);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (place, item) in items.iter().enumerate() {
                walk(&format!("{path}[{place}]"), item, rows);
            }
        }
        Value::Array(items) if items.is_empty() => (),
        Value::Array(items) => {
            let words: Vec<String> = items.iter().map(|item| leaf(path, item)).collect();
            rows.push((path.to_owned(), words.join(", ")));
        }
        Value::String(text) if text.is_empty() => (),
        leaf => rows.push((path.to_owned(), self::leaf(path, leaf))),
    }
}

fn leaf(path: &str, value: &Value) -> String {
    match (value, value.as_u64()) {
        (Value::String(text), _) => text.clone(),
        (_, Some(bytes)) if path.ends_with("_bytes") && bytes >= 1024 => {
            format!("{bytes} ({})", human(bytes))
        }
        // Of a pool, pages of its own size.
        (_, Some(pages)) if path.ends_with("_pages") && !path.starts_with("huge_page_pools") => {
            human_pages(pages)
        }
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pools_pages_are_not_webassemblys() {
        let rows = flat(&json!({ "huge_page_pools": [{ "free_pages": 2 }] }));
        assert_eq!(rows, [("huge_page_pools[0].free_pages".to_owned(), "2".to_owned())]);
    }

    #[test]
    fn leaves_keep_their_path_and_sizes_are_said_in_units() {
        let value = json!({
            "a": { "size_bytes": 65_536, "none": null, "empty": "", "flag": false },
            "list": ["x", "y"], "rows": [{ "n": 1 }], "maximum_pages": 2,
        });
        let rows = flat(&value);
        let text: Vec<String> =
            rows.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            text,
            [
                "a.flag=false",
                "a.size_bytes=65536 (64 KiB)",
                "list=x, y",
                "maximum_pages=2 pages (128 KiB)",
                "rows[0].n=1",
            ]
        );
    }
}
