//! Formats of Espressif's chips: partition table, boot selection (`otadata`), app image, data in an app slot.

pub mod app_image;
pub mod data_image;
pub mod otadata;
pub mod partition_table;
