//! Formats of Espressif's chips: partition table, boot selection (`otadata`), app image.

pub mod app_image;
pub mod otadata;
pub mod partition_table;
