//! Files that are not what was written: refused with their place and left alone, or read without loss.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use super::crash::files;
use super::observe::observe;
use super::random::Random;
use super::sim::{Image, SimDisk, Unsynced};
use super::workload::Workload;
use crate::backend::embedded::Cell;
use crate::backend::file::block::{BLOCK_MAGIC, BlockHeader, BlockKind, VERSION};
use crate::backend::file::checkpoint::Checkpoint;
use crate::backend::file::frame::{decode_frames, encode_changes};
use crate::backend::file::pending::Pending;
use crate::backend::file::recover::recover;
use crate::backend::file::{Revived, revive};
use crate::core::{Command, Core};
use crate::model::{JobId, NewJob, QueueConfig, QueueName};
use crate::port::Error;

/// A store with a checkpoint and three segments after it, and how many blocks it holds.
fn store(sealed: bool) -> (Image, u64) {
    let disk = SimDisk::default();
    let Revived { queues, mut log, .. } = revive(&files(&disk), 1).unwrap();
    let mut workload = Workload::new(7, 300);
    let mut pending = Pending::new(1);
    for round in 0..60 {
        let sent = workload.next();
        let name = &workload.queues[sent.queue].clone();
        let cell = {
            let mut queues = queues.write().unwrap_or_else(PoisonError::into_inner);
            let cell = queues.entry(name.clone()).or_insert_with(|| {
                let mut core = Core::new(name.clone(), QueueConfig::default(), sent.now);
                core.note_changes();
                Cell::new(core).into()
            });
            cell.clone()
        };
        let mut core = cell.lock();
        if let Ok(reply) = core.apply(sent.command.clone(), sent.now) {
            workload.learn(&sent, &reply);
        }
        pending.add(&mut core);
        drop(core);
        if let Some(mut batch) = pending.take() {
            log.commit(&mut batch.block).unwrap();
        }
        if round == 20 {
            assert!(log.rotate().unwrap());
            let begun = Checkpoint::begin(&files(&disk), &queues, log.segment, log.next_seq);
            let mut checkpoint = begun.unwrap();
            while checkpoint.step().unwrap() {}
            checkpoint.publish().unwrap();
        }
        if round == 35 || round == 50 {
            assert!(log.rotate().unwrap());
        }
    }
    if sealed {
        log.finish().unwrap();
    }
    let image = disk.image().cut(Unsynced::Lands, &mut Random::new(0));
    assert_eq!(image.names().len(), 4, "{:?}", image.names());
    (image, log.next_seq - 1)
}

/// Opens a disk; on refusal it must be as it was.
fn blocks(image: Image) -> Result<u64, Error> {
    let disk = SimDisk::holding(image);
    match recover(&files(&disk)) {
        Ok(recovered) => Ok(recovered.log.next_seq - 1),
        Err(error) => {
            assert_eq!(disk.ops(), 0, "a refused store was changed: {error}");
            Err(error)
        }
    }
}

fn last_segment(image: &Image) -> String {
    image.names().into_iter().rfind(|name| name.starts_with("segment")).unwrap()
}

#[test]
fn no_flipped_bit_of_a_closed_store_loses_anything_unnoticed() {
    let (image, all) = store(true);
    let mut random = Random::new(1);
    let mut refused = 0;
    for name in image.names() {
        for at in 0..image.clone().content(&name).len() {
            let mut damaged = image.clone();
            damaged.content(&name)[at] ^= 1 << random.below(8);
            match blocks(damaged) {
                Ok(found) => assert_eq!(found, all, "{name}, byte {at}"),
                Err(Error::Corrupt { path, .. }) => {
                    refused += 1;
                    assert!(path.ends_with(&name), "{} was named for {name}", path.display());
                }
                Err(other) => panic!("{name}, byte {at}: {other}"),
            }
        }
    }
    assert!(refused > 1_000, "{refused}");
}

#[test]
fn a_flipped_bit_after_a_crash_loses_at_most_the_block_that_was_being_written() {
    let (image, all) = store(false);
    let name = last_segment(&image);
    let mut random = Random::new(2);
    let mut dropped = 0;
    for at in 0..image.clone().content(&name).len() {
        let mut damaged = image.clone();
        damaged.content(&name)[at] ^= 1 << random.below(8);
        if let Ok(found) = blocks(damaged) {
            assert!(found + 1 >= all, "byte {at}: {found} of {all} blocks");
            dropped += u64::from(found < all);
        }
    }
    assert!(dropped > 0, "the last block was not acknowledged, as far as the files tell");
}

#[test]
fn a_cut_file_is_refused_unless_it_is_the_end_of_the_log() {
    let (image, all) = store(true);
    for name in image.names() {
        let is_last = name == last_segment(&image);
        let len = image.clone().content(&name).len();
        for keep in (0..len).step_by(13) {
            let mut cut = image.clone();
            cut.content(&name).truncate(keep);
            let found = blocks(cut);
            match found {
                // Nothing tells a log that was cut by hand from one whose end was never written.
                Ok(_) if is_last => {}
                Ok(found) => assert_eq!(found, all, "{name} at {keep}"),
                Err(error) => {
                    assert!(!is_last && matches!(error, Error::Corrupt { .. }), "{name} at {keep}: {error}");
                }
            }
        }
    }
}

#[test]
fn a_missing_file_is_named() {
    let (image, _) = store(true);
    let last = last_segment(&image);
    for name in image.names().iter().filter(|name| **name != last) {
        let mut lacking = image.clone();
        lacking.remove(name);
        let error = blocks(lacking).expect_err(name);
        // Without its checkpoint a store seems to lack its first segment.
        let named = if name.starts_with("checkpoint") { "segment-000000000001.log" } else { name };
        assert!(matches!(&error, Error::Corrupt { path, .. } if path.ends_with(named)), "{name}: {error}");
        assert!(error.to_string().contains("missing"), "{error}");
    }
}

#[test]
fn files_of_different_ages_are_not_mixed() {
    let (image, _) = store(true);
    let mut mixed = image.clone();
    let older = image.names().into_iter().find(|name| name.starts_with("segment")).unwrap();
    mixed.rename(&older, &last_segment(&image));
    assert!(matches!(blocks(mixed), Err(Error::Corrupt { .. })));
}

#[test]
fn a_lost_page_in_the_middle_is_refused_and_what_follows_the_end_is_dropped() {
    let (image, all) = store(true);
    let name = last_segment(&image);
    let mut holed = image.clone();
    let content = holed.content(&name);
    let middle = content.len() / 2;
    content[middle..middle + 100].fill(0);
    assert!(matches!(blocks(holed), Err(Error::Corrupt { offset, .. }) if offset > 0));

    let mut garbage = image.clone();
    garbage.content(&name).extend_from_slice(&[0; 5_000]);
    garbage.content(&name).extend_from_slice(b"\xb5\xf7\xc1\x9e and more, but no block");
    let disk = SimDisk::holding(garbage);
    assert_eq!(recover(&files(&disk)).unwrap().log.next_seq - 1, all);
    assert_eq!(disk.image().content(&name), image.clone().content(&name), "what was dropped is cut off");
}

#[test]
fn a_segment_that_ends_too_early_is_noticed_even_if_the_next_one_is_empty() {
    let (image, _) = store(true);
    let disk = SimDisk::holding(image.clone());
    let mut log = recover(&files(&disk)).unwrap().log;
    assert!(log.rotate().unwrap());
    let mut cut = disk.image();
    let name = last_segment(&image);
    // Cut where a block ends: the files look whole one by one.
    let content = cut.content(&name);
    let starts = content.windows(4).rposition(|bytes| bytes == BLOCK_MAGIC).unwrap();
    let before = content[..starts].windows(4).rposition(|bytes| bytes == BLOCK_MAGIC).unwrap();
    let block = content[..before].windows(4).rposition(|bytes| bytes == BLOCK_MAGIC).unwrap();
    content.truncate(block);
    let error = blocks(cut).unwrap_err();
    assert!(error.to_string().contains("files are missing, or of different ages"), "{error}");
}

#[test]
fn a_newer_store_asks_for_an_upgrade() {
    let (image, _) = store(true);
    for name in image.names() {
        let mut newer = image.clone();
        let content = newer.content(&name);
        content[8..12].copy_from_slice(&(VERSION + 1).to_le_bytes());
        let crc = crc32fast::hash(&content[..12]);
        content[12..16].copy_from_slice(&crc.to_le_bytes());
        let error = blocks(newer).unwrap_err();
        assert!(
            matches!(error, Error::Newer { found, known, .. } if found == VERSION + 1 && known == VERSION)
        );
        assert!(error.to_string().contains("upgrade"), "{error}");
    }
}

#[test]
fn somebody_else_s_file_under_our_name_is_refused() {
    let (image, _) = store(true);
    let mut foreign = image.clone();
    *foreign.content(&last_segment(&image)) = b"Dear diary, today I found out what a log is. ".repeat(9);
    let error = blocks(foreign).unwrap_err();
    assert!(matches!(&error, Error::Corrupt { offset: 0, .. }), "{error}");
}

/// Whoever writes payloads must not be able to make the store refuse its own end as damage.
#[test]
fn a_block_inside_a_payload_is_not_taken_for_one() {
    let mut forged = vec![0; 64];
    BlockHeader::seal(&mut forged, BlockKind::Frames, 2, 0);
    let disk = SimDisk::default();
    let Revived { mut log, .. } = revive(&files(&disk), 1).unwrap();
    let mut core = Core::new(QueueName::new("mail").unwrap(), QueueConfig::default(), 1);
    core.note_changes();
    core.apply(Command::Add(vec![NewJob::new(JobId::new("a").unwrap(), "work", forged)]), 1).unwrap();
    let mut pending = Pending::new(1);
    pending.add(&mut core);
    log.commit(&mut pending.take().unwrap().block).unwrap();
    let mut torn = disk.image();
    // The start of the block is lost, the payload is there.
    torn.content("segment-000000000001.log")[50] ^= 1;
    assert_eq!(blocks(torn).unwrap(), 0);
}

#[test]
fn no_bytes_make_the_decoder_panic() {
    let mut workload = Workload::new(3, 100);
    let mut frames = Vec::new();
    let mut core = Core::new(workload.queues[0].clone(), QueueConfig::default(), 1);
    core.note_changes();
    for _ in 0..80 {
        let sent = workload.next();
        if let Ok(reply) = core.apply(sent.command.clone(), sent.now) {
            workload.learn(&sent, &reply);
        }
        encode_changes(&mut frames, &mut core);
    }
    let mut restores = BTreeMap::new();
    decode_frames(&frames, &mut restores).unwrap();
    let now = workload.now;
    core.rescue_all(now);
    let mut restored = restores.remove(core.queue()).unwrap().build(core.queue().clone(), now);
    restored.rescue_all(now);
    assert_eq!(observe(restored, now), observe(core, now));
    let mut random = Random::new(4);
    for _ in 0..20_000 {
        let mut damaged = frames.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(damaged.len());
            damaged[at] = random.next() as u8;
        }
        damaged.truncate(random.below(damaged.len()) + 1);
        // Whether it is refused or understood as something else is the checksum's business.
        let _ = decode_frames(&damaged, &mut BTreeMap::new());
    }
}
