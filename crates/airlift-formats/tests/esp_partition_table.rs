//! The ESP-IDF partition table against the golden vectors, and against its own rules.

mod esp_partition_table {
    mod binary;
    mod csv_golden;
    mod golden;
}
