//! The client API over real sockets: every RPC, every kind of bad input, paging, streams, a cluster.

/// A list in both directions, page by page, two at a time.
macro_rules! listed {
    ($client:expr, $call:ident, $items:ident, $request:expr) => {{
        let mut directions = Vec::new();
        for descending in [false, true] {
            let mut all = Vec::new();
            let mut token = String::new();
            loop {
                let page = Some(pb::Page { size: 2, token, descending });
                let mut request = $request;
                request.page.clone_from(&page);
                let answer = $client.$call(request).await.expect("a page").into_inner();
                assert!(answer.$items.len() <= 2 && answer.position.is_some());
                all.extend(answer.$items);
                token = answer.next_page_token;
                if token.is_empty() {
                    break;
                }
            }
            directions.push(all);
        }
        let mut backward = directions.pop().expect("two");
        backward.reverse();
        let forward = directions.pop().expect("two");
        assert_eq!(forward, backward);
        forward
    }};
}

mod cluster;
mod commands;
mod input;
mod node;
mod planning;
mod production;
mod queries;
mod sessions;
mod streams;
