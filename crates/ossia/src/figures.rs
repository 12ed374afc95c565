//! The engine's metrics under the names that operators know them by.

use ossia_engine::EngineMetrics;
use ossia_server::metrics::{Figure, FigureKind};

/// All of them.
pub(crate) fn of(metrics: &EngineMetrics) -> Vec<Figure> {
    // Taken apart, so that none can be forgotten.
    let EngineMetrics {
        groups,
        transactions,
        journal_bytes,
        payload_bytes,
        syncs,
        written_bytes,
        index_bytes,
        refused_busy,
        refused_full,
        rotations,
        blobs_created,
        blob_bytes_created,
        blobs_deleted,
        blob_bytes_deleted,
        segments_recycled,
        evacuated_bytes,
        value_bytes,
        value_files,
        segments,
        runs,
        sealed_memtables,
        index_memory_bytes,
        queue_bytes,
    } = *metrics;
    let counter = |name, help, value| Figure { name, help, kind: FigureKind::Counter, value };
    let gauge = |name, help, value| Figure { name, help, kind: FigureKind::Gauge, value };
    vec![
        counter(
            "ossia_engine_groups_total",
            "groups made durable, each by one write and one sync of the journal",
            groups,
        ),
        counter("ossia_engine_transactions_total", "transactions in them", transactions),
        counter(
            "ossia_engine_journal_bytes_total",
            "bytes of frames written to the journal",
            journal_bytes,
        ),
        counter("ossia_engine_payload_bytes_total", "new payloads among them", payload_bytes),
        counter(
            "ossia_engine_syncs_total",
            "syncs of files and folders but for those of the index",
            syncs,
        ),
        counter(
            "ossia_engine_written_bytes_total",
            "bytes written to journal, blobs and value log, new segments' zeros included",
            written_bytes,
        ),
        counter("ossia_engine_index_bytes_total", "bytes of index tables written", index_bytes),
        counter(
            "ossia_engine_refused_busy_total",
            "transactions refused because their turn did not come within engine.admission_wait_ms",
            refused_busy,
        ),
        counter(
            "ossia_engine_refused_full_total",
            "transactions refused because the disk is full",
            refused_full,
        ),
        counter("ossia_engine_rotations_total", "memtables sealed behind a checkpoint", rotations),
        counter("ossia_engine_blobs_created_total", "blob files finished", blobs_created),
        counter("ossia_engine_blob_bytes_created_total", "their data", blob_bytes_created),
        counter("ossia_engine_blobs_deleted_total", "blob files removed", blobs_deleted),
        counter("ossia_engine_blob_bytes_deleted_total", "their length", blob_bytes_deleted),
        counter(
            "ossia_engine_segments_recycled_total",
            "journal segments that were emptied and used again",
            segments_recycled,
        ),
        counter(
            "ossia_engine_evacuated_bytes_total",
            "payloads moved to the value log",
            evacuated_bytes,
        ),
        gauge("ossia_engine_value_bytes", "length of the value log's files", value_bytes),
        gauge("ossia_engine_value_files", "files of the value log", value_files),
        gauge("ossia_engine_segments", "journal segments, spare ones included", segments),
        gauge(
            "ossia_engine_runs",
            "runs in the index's first level: writes slow at 8, stop at 16",
            runs,
        ),
        gauge(
            "ossia_engine_sealed_memtables",
            "memtables that wait for their flush: writes stop at 3",
            sealed_memtables,
        ),
        gauge("ossia_engine_index_memory_bytes", "the index in memory", index_memory_bytes),
        gauge("ossia_engine_queue_bytes", "transactions accepted and not answered", queue_bytes),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_of_prometheus_s_form() {
        let figures = of(&EngineMetrics::default());
        let mut names: Vec<_> = figures.iter().map(|figure| figure.name).collect();
        for figure in &figures {
            let plain = figure.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            let total = figure.name.ends_with("_total");
            assert!(plain && total == (figure.kind == FigureKind::Counter), "{}", figure.name);
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), figures.len());
    }
}
