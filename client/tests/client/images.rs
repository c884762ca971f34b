//! Images on their way to the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sc_client::{ImageFiles, ImageUpload};

use crate::{connect, run};

#[test]
fn a_split_image_is_sent_as_two_parts() {
    let (fake, client) = connect();
    let folder = tempfile::tempdir().unwrap();
    let (metadata, rootfs) =
        (folder.path().join("meta.tar.xz"), folder.path().join("root.squashfs"));
    std::fs::write(&metadata, vec![1; 1000]).unwrap();
    std::fs::write(&rootfs, vec![2; 3_000_000]).unwrap();
    let upload = ImageUpload {
        files: ImageFiles::Split { metadata, rootfs },
        public: false,
        properties: [("os".to_owned(), "a b&c".to_owned())].into(),
    };
    let sent = Arc::new(AtomicU64::new(0));
    let counted = sent.clone();
    run(async {
        let operation = client
            .upload_image(&upload, move |done, _| counted.store(done, Ordering::Relaxed))
            .await
            .unwrap();
        client.wait(operation).await.unwrap();
    });
    let asked = fake.last("POST /1.0/images");
    assert_eq!(asked.length as u64, sent.load(Ordering::Relaxed));
    assert!(asked.length > 3_001_000);
    assert_eq!(asked.headers["x-lxd-filename"], "meta.tar.xz");
    assert_eq!(asked.headers["x-lxd-properties"], "os=a%20b%26c");
    assert!(asked.headers["content-type"].to_str().unwrap().starts_with("multipart/form-data"));
}

#[test]
fn an_upload_that_is_refused_early_tells_why() {
    let (_fake, client) = connect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("refused.tar");
    std::fs::write(&file, vec![0; 20_000_000]).unwrap();
    let upload = ImageUpload {
        files: ImageFiles::Unified(file),
        public: false,
        properties: Default::default(),
    };
    let error = run(client.upload_image(&upload, |_, _| {})).unwrap_err();
    assert_eq!(error.to_string(), "no images today");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let (_fake, client) = connect();
    let upload = ImageUpload {
        files: ImageFiles::Unified("/nonexistent/image.tar".into()),
        public: false,
        properties: Default::default(),
    };
    let error = run(client.upload_image(&upload, |_, _| {})).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/image.tar"), "{error}");
}
