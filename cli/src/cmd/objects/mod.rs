//! Verbs that are alike for several kinds of objects.
//!
//! A kind is the API's type of it, such as `sc_api::Network`. A verb is written once, for all
//! kinds that implement its trait; the implementation stands in the file of the kind's group and
//! says what differs: the help, the columns, the request.
//!
//! | verbs                                          | trait          |
//! |------------------------------------------------|----------------|
//! | [`list::List`]                                 | [`list::Listed`] |
//! | [`show::Show`]                                 | [`show::Shown`] |
//! | [`delete::Delete`]                             | [`delete::Deleted`] |
//! | [`change::Edit`], and all that change         | [`change::Changeable`] |
//! | [`set::Set`], [`set::Unset`]                   | [`set::Keyed`] |
//! | all of [`device`]                              | [`device::WithDevices`] |

pub mod change;
pub mod delete;
pub mod device;
pub mod instance_form;
pub mod list;
pub mod named;
pub mod profile_form;
pub mod set;
pub mod show;
