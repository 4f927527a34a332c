//! What the router computes for a request allocates nothing.
//!
//! A test of its own, because counting takes over the allocator of the whole program.

mod sample;

#[test]
fn a_request_and_its_answer_pass_without_an_allocation() {
    let mut path = sample::pure_path();
    let requests: Vec<_> = (0..512).map(sample::request).collect();
    let first = path.pass(&requests[0], sample::ANSWER).expect("it passes");
    let (to_upstream, to_caller) = (first.to_upstream.escape_ascii(), first.to_caller.escape_ascii());
    assert!(to_upstream.to_string().contains("Crossfade-Migration: bench"), "{to_upstream}");
    assert!(to_caller.to_string().starts_with("HTTP/1.1 200 OK"), "{to_caller}");
    // Memory that is kept from one request to the next has grown to its size once every request was seen.
    assert!(requests.iter().all(|request| path.pass(request, sample::ANSWER).is_some()));
    let (mut passed, mut new) = (0, 0);
    let seen = allocation_counter::measure(|| {
        for request in &requests {
            if let Some(pass) = path.pass(request, sample::ANSWER) {
                passed += 1;
                new += usize::from(pass.to_upstream.windows(21).any(|at| at == b"Crossfade-Side: new\r\n"));
            }
        }
    });
    assert_eq!(seen.count_total, 0, "{seen:?}");
    assert_eq!(passed, requests.len());
    // Had all gone one way, less than the whole would have been measured.
    assert!((150..360).contains(&new), "{new} of 512 to new");
}
