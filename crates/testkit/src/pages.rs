//! Pages of contacts as the API sends them, made from the sandbox's account.

use bytes::Bytes;
use ctct_sandbox::{Account, SandboxConfig};

/// The pages of an account, `rows` contacts each, with every sub-resource: about 1.4 kB a contact. The link of page `n`
/// is `/v3/contacts?cursor=<n + 1>`, and the last page has none.
pub fn contact_pages(config: &SandboxConfig, rows: u64) -> Vec<Bytes> {
    let account = Account::new(config);
    let pages = account.contacts().div_ceil(rows);
    (0..pages).map(|page| contact_page(&account, page, rows)).collect()
}

fn contact_page(account: &Account, page: u64, rows: u64) -> Bytes {
    let first = page * rows;
    let last = (first + rows).min(account.contacts());
    let mut body = b"{\"contacts\":[".to_vec();
    for index in first..last {
        if index > first {
            body.push(b',');
        }
        serde_json::to_writer(&mut body, &account.contact(index)).expect("a contact is plain data");
    }
    body.push(b']');
    if last < account.contacts() {
        let next = page + 1;
        body.extend(format!(r#","_links":{{"next":{{"href":"/v3/contacts?cursor={next}"}}}}"#).into_bytes());
    }
    body.push(b'}');
    body.into()
}
