//! ESP-IDF partition_table.
