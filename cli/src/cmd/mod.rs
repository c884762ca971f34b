//! The verbs, a file for each or for each group; `objects` has those that are alike for all kinds
//! of objects.

mod admin;
mod completion;
mod config;
mod config_device;
mod console;
mod create;
mod delete;
mod exec;
mod image;
mod image_alias;
mod image_import;
mod image_remote;
mod info;
mod list;
mod list_columns;
mod list_filter;
mod man;
mod monitor;
mod network;
mod objects;
mod operation;
mod preseed;
mod preseed_form;
mod profile;
mod profile_device;
mod query;
mod remote;
mod shell;
mod state;
mod storage;
mod version;

use crate::verb::Entry;

/// The verbs at the top, in the order of the help.
pub const ROOT: &[Entry] = &[
    Entry::verb::<create::Launch>(),
    Entry::verb::<create::Init>(),
    Entry::verb::<list::List>(),
    Entry::verb::<info::Info>(),
    Entry::verb::<exec::Exec>(),
    Entry::verb::<shell::Shell>(),
    Entry::verb::<console::Console>(),
    Entry::verb::<state::Start>(),
    Entry::verb::<state::Stop>(),
    Entry::verb::<state::Restart>(),
    Entry::verb::<delete::Delete>(),
    Entry::group::<config::Config>(),
    Entry::group::<profile::Profile>(),
    Entry::group::<image::Image>(),
    Entry::group::<network::Network>(),
    Entry::group::<storage::Storage>(),
    Entry::group::<operation::Operation>(),
    Entry::group::<remote::Remote>(),
    Entry::verb::<monitor::Monitor>(),
    Entry::verb::<query::Query>(),
    Entry::group::<admin::Admin>(),
    Entry::verb::<completion::Completion>(),
    Entry::verb::<man::Man>(),
    Entry::verb::<version::Version>(),
];
