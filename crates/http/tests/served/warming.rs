//! Requests that a worker makes to itself.

use std::time::Duration;

use lowmem_http::peers::ServerAddress;

use crate::serving::{Serving, on_one_thread};

#[test]
fn a_path_is_requested_and_not_counted() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let ask = async |path: &str, patience| {
            let address = ServerAddress::Tcp(serving.address);
            serving.server.warm_up(path, address, patience).await
        };
        let patience = Duration::from_secs(5);
        assert_eq!(ask("/large", patience).await, Ok(()));
        let failed = ask("/silent", patience).await;
        assert_eq!(failed, Err("it was answered with 500".to_owned()));
        let late = ask("/forever", Duration::from_millis(50)).await;
        assert_eq!(late, Err("no answer after 0 s".to_owned()));
        assert_eq!(serving.server.served(), 0);
    });
}
