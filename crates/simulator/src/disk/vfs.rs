//! SQLite's side of the disk: the tables of functions that it calls. The only unsafe code of the simulator.
//!
//! A [`Boot`] is one start of the machine. Each is registered under a name of its own, so that what a connection of an
//! earlier start still does to files by name (such as deleting a journal when it is closed) is known as such.
//!
//! Ownership: SQLite gives the memory of an open file ([`OpenFile`], `szOsFile` bytes); we keep a boxed [`Owned`] behind
//! it from `open` to `close`. `Owned` holds its boot, hence SQLite's table of a boot lives as long as its open files.

#![expect(unsafe_code, reason = "SQLite takes a disk as tables of C functions; there is no safe form")]

use std::cell::UnsafeCell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libsqlite3_sys as ffi;

use super::content::index;
use super::locks::{Level, SLOTS};
use super::state::{Access, Handle, REGION_BYTES, Refusal, State};

/// Longest name of a file, bytes with the final zero.
const NAME_BYTES_MAX: c_int = 512;

/// Milliseconds from noon, 24 November 4714 BC, where SQLite's days begin, to 1970.
const JULIAN_1970_MS: i64 = 210_866_760_000_000;

/// What SQLite reckons with on Unix: a page is written in pieces of this many bytes.
const SECTOR_BYTES: c_int = 4096;

/// Numbers the boots of this program, so that their names differ.
static BOOTS: AtomicU64 = AtomicU64::new(0);

/// One start of a machine: its registration with SQLite.
pub(super) struct Boot {
    /// SQLite writes its list pointer.
    table: UnsafeCell<ffi::sqlite3_vfs>,
    /// `table` points to its text.
    name: CString,
    start: u64,
    state: Arc<Mutex<State>>,
}

// SAFETY: the pointers in `table` lead into this boot itself (`name`, the boot) and into SQLite's list of disks, which
// SQLite changes under its own mutex. Everything else that is shared lies behind `state`'s mutex.
unsafe impl Send for Boot {}
// SAFETY: as above; nothing of a boot changes after it was registered but the list pointer, under SQLite's mutex.
unsafe impl Sync for Boot {}

impl Boot {
    /// Registers the start that `state` is in.
    pub(super) fn register(state: &Arc<Mutex<State>>) -> Arc<Self> {
        let number = BOOTS.fetch_add(1, Ordering::Relaxed);
        let name = CString::new(format!("disk-{number}")).expect("a number holds no zero byte");
        let start = lock(state).start;
        let table = ffi::sqlite3_vfs {
            iVersion: 2,
            szOsFile: c_int::try_from(size_of::<OpenFile>()).expect("two pointers"),
            mxPathname: NAME_BYTES_MAX,
            pNext: ptr::null_mut(),
            zName: name.as_ptr(),
            pAppData: ptr::null_mut(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_name),
            xDlOpen: None,
            xDlError: None,
            xDlSym: None,
            xDlClose: None,
            xRandomness: Some(randomness),
            xSleep: Some(sleep),
            xCurrentTime: Some(current_time),
            xGetLastError: None,
            xCurrentTimeInt64: Some(current_time_ms),
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        };
        let boot = Arc::new(Self { table: UnsafeCell::new(table), name, start, state: Arc::clone(state) });
        let table = boot.table.get();
        // SAFETY: nobody else knows the table yet, and it lies in a cell, so that it may be written; its address stays
        // the same until the Arc's last owner drops it. It is taken back in `drop`, before the memory goes.
        let outcome = unsafe {
            (*table).pAppData = Arc::as_ptr(&boot).cast_mut().cast();
            ffi::sqlite3_vfs_register(table, 0)
        };
        assert_eq!(outcome, ffi::SQLITE_OK, "SQLite takes every disk that has a name");
        boot
    }

    pub(super) fn name(&self) -> String {
        self.name.to_string_lossy().into_owned()
    }
}

impl Drop for Boot {
    fn drop(&mut self) {
        // SAFETY: the table was registered from this address. No file of it is open, as each owns an Arc of the boot.
        unsafe {
            ffi::sqlite3_vfs_unregister(self.table.get());
        }
    }
}

/// Gives SQLite's source of random numbers a fixed seed, so that the same calls write the same bytes.
///
/// That source is one for the whole program: runs are only the same if one thread at a time uses SQLite.
pub fn seed_sqlite(seed: u32) {
    // Zero stands for "from the machine" there.
    let seed = seed.max(1).cast_signed();
    // SAFETY: this verb takes an int and a connection or null; the source is reset under SQLite's mutex.
    unsafe {
        ffi::sqlite3_initialize();
        ffi::sqlite3_test_control(ffi::SQLITE_TESTCTRL_PRNG_SEED, seed, ptr::null_mut::<ffi::sqlite3>());
    }
}

pub(super) fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// SQLite's view of an open file, in memory of SQLite.
#[repr(C)]
struct OpenFile {
    base: ffi::sqlite3_file,
    owned: *mut Owned,
}

struct Owned {
    handle: Handle,
    boot: Arc<Boot>,
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(raise_lock),
    xUnlock: Some(lower_lock),
    xCheckReservedLock: Some(check_reserved),
    xFileControl: Some(control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: Some(map_shared),
    xShmLock: Some(lock_shared),
    xShmBarrier: Some(barrier),
    xShmUnmap: Some(unmap_shared),
    xFetch: None,
    xUnfetch: None,
};

/// `failed` is SQLite's code for the call when it fails as such.
fn code(refusal: Refusal, failed: c_int) -> c_int {
    match refusal {
        Refusal::Failed => failed,
        Refusal::Full => ffi::SQLITE_FULL,
        Refusal::Busy => ffi::SQLITE_BUSY,
        Refusal::Missing | Refusal::Exists => ffi::SQLITE_CANTOPEN,
    }
}

fn answer(outcome: Result<(), Refusal>, failed: c_int) -> c_int {
    outcome.map_or_else(|refusal| code(refusal, failed), |()| ffi::SQLITE_OK)
}

/// # Safety
/// `file` was opened by [`open`] and is not closed yet; SQLite makes one call at a time on it.
unsafe fn owned<'a>(file: *mut ffi::sqlite3_file) -> &'a mut Owned {
    // SAFETY: by the contract `file` leads to an `OpenFile` whose box is alive and not borrowed.
    unsafe { &mut *(*file.cast::<OpenFile>()).owned }
}

/// # Safety
/// `vfs` is the table of a boot that is registered.
unsafe fn boot<'a>(vfs: *mut ffi::sqlite3_vfs) -> &'a Boot {
    // SAFETY: `pAppData` was set to the boot when it was registered.
    unsafe { &*(*vfs).pAppData.cast::<Boot>() }
}

/// # Safety
/// `name` is a C string or null.
unsafe fn text<'a>(name: *const c_char) -> Option<&'a str> {
    // SAFETY: by the contract. SQLite's names are UTF-8; others are no files of ours.
    if name.is_null() { None } else { Some(unsafe { CStr::from_ptr(name) }.to_str().unwrap_or_default()) }
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let has = |flag: c_int| flags & flag != 0;
    let access = Access {
        creates: has(ffi::SQLITE_OPEN_CREATE),
        must_be_new: has(ffi::SQLITE_OPEN_EXCLUSIVE) && has(ffi::SQLITE_OPEN_CREATE),
        is_deleted_on_close: name.is_null() || has(ffi::SQLITE_OPEN_DELETEONCLOSE),
        syncs_folder: has(ffi::SQLITE_OPEN_CREATE)
            && has(ffi::SQLITE_OPEN_WAL | ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_SUPER_JOURNAL),
    };
    // SAFETY: SQLite passes a registered table, a name or null, `szOsFile` bytes at `file`, and a place for the flags or
    // null. The boot came out of an Arc, which is counted up here; without methods SQLite does not close the file.
    unsafe {
        (*file).pMethods = ptr::null();
        let boot_pointer = (*vfs).pAppData.cast::<Boot>().cast_const();
        let boot = boot(vfs);
        let opened = lock(&boot.state).open(boot.start, text(name), access);
        match opened {
            Ok(handle) => {
                Arc::increment_strong_count(boot_pointer);
                let owned = Box::new(Owned { handle, boot: Arc::from_raw(boot_pointer) });
                (*file.cast::<OpenFile>()).owned = Box::into_raw(owned);
                (*file).pMethods = &raw const METHODS;
                if !out_flags.is_null() {
                    *out_flags = flags;
                }
                ffi::SQLITE_OK
            }
            Err(refusal) => code(refusal, ffi::SQLITE_CANTOPEN),
        }
    }
}

unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync_folder: c_int) -> c_int {
    // SAFETY: SQLite passes a registered table and a name.
    let (boot, name) = unsafe { (boot(vfs), text(name).unwrap_or_default()) };
    match lock(&boot.state).delete(boot.start, name, sync_folder & 1 != 0) {
        Ok(()) => ffi::SQLITE_OK,
        Err(Refusal::Missing) => ffi::SQLITE_IOERR_DELETE_NOENT,
        Err(refusal) => code(refusal, ffi::SQLITE_IOERR_DELETE),
    }
}

unsafe extern "C" fn access(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, what: c_int, out: *mut c_int) -> c_int {
    // SAFETY: SQLite passes a registered table, a name and a place for the answer.
    let (boot, name) = unsafe { (boot(vfs), text(name).unwrap_or_default()) };
    match lock(&boot.state).look_up(boot.start, name) {
        Ok(length) => {
            // As on Unix: an empty file does not count as being there.
            let is_there = length.is_some_and(|length| length > 0 || what != ffi::SQLITE_ACCESS_EXISTS);
            // SAFETY: as above.
            unsafe { *out = c_int::from(is_there) };
            ffi::SQLITE_OK
        }
        Err(refusal) => code(refusal, ffi::SQLITE_IOERR_ACCESS),
    }
}

/// Names are full as they are.
unsafe extern "C" fn full_name(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    out_bytes: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite passes a C string, and `out_bytes` bytes at `out`; what does not fit is refused.
    unsafe {
        let bytes = CStr::from_ptr(name).to_bytes_with_nul();
        if usize::try_from(out_bytes).is_ok_and(|room| room < bytes.len()) {
            return ffi::SQLITE_CANTOPEN;
        }
        ptr::copy_nonoverlapping(bytes.as_ptr().cast(), out, bytes.len());
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn randomness(vfs: *mut ffi::sqlite3_vfs, bytes: c_int, out: *mut c_char) -> c_int {
    // SAFETY: SQLite passes a registered table, and `bytes` bytes at `out`, which are initialised here first.
    unsafe {
        let count = usize::try_from(bytes).unwrap_or_default();
        ptr::write_bytes(out, 0, count);
        lock(&boot(vfs).state).fill_random(std::slice::from_raw_parts_mut(out.cast(), count));
    }
    bytes
}

/// Time is virtual: waiting for a lock ends at once, and whoever holds it gets no turn meanwhile.
unsafe extern "C" fn sleep(_: *mut ffi::sqlite3_vfs, microseconds: c_int) -> c_int {
    microseconds
}

fn julian_ms(state: &State) -> i64 {
    i64::try_from(state.wall_ms).unwrap_or(i64::MAX).saturating_add(JULIAN_1970_MS)
}

#[expect(clippy::cast_precision_loss, reason = "SQLite's older form of the time is a floating number of days")]
unsafe extern "C" fn current_time(vfs: *mut ffi::sqlite3_vfs, days: *mut f64) -> c_int {
    // SAFETY: SQLite passes a registered table and a place for the time.
    unsafe { *days = julian_ms(&lock(&boot(vfs).state)) as f64 / 86_400_000.0 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn current_time_ms(vfs: *mut ffi::sqlite3_vfs, out: *mut ffi::sqlite3_int64) -> c_int {
    // SAFETY: SQLite passes a registered table and a place for the time.
    unsafe { *out = julian_ms(&lock(&boot(vfs).state)) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: SQLite closes each open file once. The box came from `open` and is not used after this.
    let mut owned = unsafe { Box::from_raw((*file.cast::<OpenFile>()).owned) };
    lock(&owned.boot.state).close(&mut owned.handle);
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, out: *mut c_void, bytes: c_int, offset: i64) -> c_int {
    // SAFETY: SQLite passes an open file, and `bytes` bytes at `out`, which are initialised here first.
    let (owned, into) = unsafe {
        let count = usize::try_from(bytes).unwrap_or_default();
        ptr::write_bytes(out.cast::<u8>(), 0, count);
        (owned(file), std::slice::from_raw_parts_mut(out.cast::<u8>(), count))
    };
    match lock(&owned.boot.state).read(&owned.handle, offset.unsigned_abs(), into) {
        Ok(count) if count == into.len() => ffi::SQLITE_OK,
        Ok(_) => ffi::SQLITE_IOERR_SHORT_READ,
        Err(refusal) => code(refusal, ffi::SQLITE_IOERR_READ),
    }
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, data: *const c_void, bytes: c_int, offset: i64) -> c_int {
    // SAFETY: SQLite passes an open file, and `bytes` bytes at `data`.
    let (owned, data) = unsafe {
        (owned(file), std::slice::from_raw_parts(data.cast::<u8>(), usize::try_from(bytes).unwrap_or_default()))
    };
    answer(lock(&owned.boot.state).write(&owned.handle, offset.unsigned_abs(), data), ffi::SQLITE_IOERR_WRITE)
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, length: i64) -> c_int {
    // SAFETY: SQLite passes an open file.
    let owned = unsafe { owned(file) };
    answer(lock(&owned.boot.state).set_len(&owned.handle, length.unsigned_abs()), ffi::SQLITE_IOERR_TRUNCATE)
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    // SAFETY: SQLite passes an open file.
    let owned = unsafe { owned(file) };
    answer(lock(&owned.boot.state).sync(&mut owned.handle), ffi::SQLITE_IOERR_FSYNC)
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, out: *mut ffi::sqlite3_int64) -> c_int {
    // SAFETY: SQLite passes an open file and a place for the answer.
    let owned = unsafe { owned(file) };
    match lock(&owned.boot.state).len(&owned.handle) {
        Ok(length) => {
            // SAFETY: as above.
            unsafe { *out = i64::try_from(length).unwrap_or(i64::MAX) };
            ffi::SQLITE_OK
        }
        Err(refusal) => code(refusal, ffi::SQLITE_IOERR_FSTAT),
    }
}

fn level(number: c_int) -> Level {
    match number {
        ffi::SQLITE_LOCK_NONE => Level::None,
        ffi::SQLITE_LOCK_SHARED => Level::Shared,
        ffi::SQLITE_LOCK_RESERVED => Level::Reserved,
        ffi::SQLITE_LOCK_PENDING => Level::Pending,
        _ => Level::Exclusive,
    }
}

unsafe extern "C" fn raise_lock(file: *mut ffi::sqlite3_file, wanted: c_int) -> c_int {
    // SAFETY: SQLite passes an open file.
    let owned = unsafe { owned(file) };
    answer(lock(&owned.boot.state).raise_lock(&owned.handle, level(wanted)), ffi::SQLITE_IOERR_LOCK)
}

unsafe extern "C" fn lower_lock(file: *mut ffi::sqlite3_file, wanted: c_int) -> c_int {
    // SAFETY: SQLite passes an open file.
    let owned = unsafe { owned(file) };
    answer(lock(&owned.boot.state).lower_lock(&owned.handle, level(wanted)), ffi::SQLITE_IOERR_UNLOCK)
}

unsafe extern "C" fn check_reserved(file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: SQLite passes an open file and a place for the answer.
    let owned = unsafe { owned(file) };
    match lock(&owned.boot.state).is_reserved(&owned.handle) {
        Ok(is_reserved) => {
            // SAFETY: as above.
            unsafe { *out = c_int::from(is_reserved) };
            ffi::SQLITE_OK
        }
        Err(refusal) => code(refusal, ffi::SQLITE_IOERR_CHECKRESERVEDLOCK),
    }
}

unsafe extern "C" fn control(file: *mut ffi::sqlite3_file, verb: c_int, argument: *mut c_void) -> c_int {
    // SAFETY: SQLite passes an open file.
    let owned = unsafe { owned(file) };
    match verb {
        ffi::SQLITE_FCNTL_HAS_MOVED => {
            // SAFETY: with this verb SQLite passes a place for an int.
            unsafe { *argument.cast::<c_int>() = c_int::from(lock(&owned.boot.state).has_moved(&owned.handle)) };
            ffi::SQLITE_OK
        }
        ffi::SQLITE_FCNTL_PRAGMA => {
            // SAFETY: with this verb SQLite passes three strings: a place for the answer, which it frees itself and
            // which is therefore made by its allocator, the name, and the value or null.
            unsafe {
                let strings = argument.cast::<*mut c_char>();
                if text(*strings.add(1)) != Some(sql::LOG_BYTES_PRAGMA) {
                    return ffi::SQLITE_NOTFOUND;
                }
                let log_bytes = lock(&owned.boot.state).beside(&owned.handle, "-wal");
                *strings = ffi::sqlite3_mprintf(c"%lld".as_ptr(), log_bytes);
            }
            ffi::SQLITE_OK
        }
        _ => ffi::SQLITE_NOTFOUND,
    }
}

unsafe extern "C" fn sector_size(_: *mut ffi::sqlite3_file) -> c_int {
    SECTOR_BYTES
}

/// What SQLite says of itself on Unix: bytes beside a write that was cut off stay as they were.
unsafe extern "C" fn characteristics(_: *mut ffi::sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE | ffi::SQLITE_IOCAP_SUBPAGE_READ
}

unsafe extern "C" fn map_shared(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    region_bytes: c_int,
    extends: c_int,
    out: *mut *mut c_void,
) -> c_int {
    let Ok(region) = usize::try_from(region) else { return ffi::SQLITE_IOERR_SHMMAP };
    if usize::try_from(region_bytes) != Ok(index(REGION_BYTES)) {
        return ffi::SQLITE_IOERR_SHMMAP;
    }
    // SAFETY: SQLite passes an open file and a place for the pointer. A region stays where it is while the handle is
    // attached, and is made of atomics, so that writing through the pointer is allowed.
    unsafe {
        let owned = owned(file);
        *out = ptr::null_mut();
        match lock(&owned.boot.state).map_shared(&mut owned.handle, region + 1, extends != 0) {
            Ok(shared) => {
                if let Some(address) = shared.region(region) {
                    *out = address.cast_mut().cast();
                }
                ffi::SQLITE_OK
            }
            Err(Refusal::Full) => ffi::SQLITE_IOERR_SHMSIZE,
            Err(refusal) => code(refusal, ffi::SQLITE_IOERR_SHMMAP),
        }
    }
}

unsafe extern "C" fn lock_shared(file: *mut ffi::sqlite3_file, slot: c_int, count: c_int, flags: c_int) -> c_int {
    // SAFETY: SQLite passes an open file.
    let owned = unsafe { owned(file) };
    let is_in_range = |number: c_int| usize::try_from(number).is_ok_and(|number| number <= SLOTS);
    if !is_in_range(slot) || !is_in_range(count) || !is_in_range(slot + count) {
        return ffi::SQLITE_IOERR_SHMLOCK;
    }
    // At most eight slots, hence at most eight bits.
    let slots = u8::try_from(((1_u32 << count) - 1) << slot).unwrap_or(u8::MAX);
    let mut state = lock(&owned.boot.state);
    match state.attached(&owned.handle) {
        Ok(shared) if flags & ffi::SQLITE_SHM_UNLOCK != 0 => shared.unlock(owned.handle.id, slots),
        Ok(shared) => {
            if !shared.lock(owned.handle.id, slots, flags & ffi::SQLITE_SHM_EXCLUSIVE != 0) {
                return ffi::SQLITE_BUSY;
            }
        }
        Err(refusal) => return code(refusal, ffi::SQLITE_IOERR_SHMLOCK),
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn barrier(_: *mut ffi::sqlite3_file) {
    fence(Ordering::SeqCst);
}

unsafe extern "C" fn unmap_shared(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    // SAFETY: SQLite passes an open file, and no longer uses its regions.
    let owned = unsafe { owned(file) };
    lock(&owned.boot.state).detach_shared(&mut owned.handle);
    ffi::SQLITE_OK
}
