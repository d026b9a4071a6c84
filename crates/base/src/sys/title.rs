//! The title of a process, as `ps` shows it.
//!
//! The kernel reads a process's command line from its memory, where it was put at its start. There may
//! be no room for another one, and programs hold pointers into it; so the kernel is told of another
//! place (`PR_SET_MM_MAP`, which needs no privilege). A kernel that has no such call gets as much of
//! the title as there is room for.

use std::fs;
use std::os::unix::ffi::OsStrExt;

/// The addresses that the kernel is told, `struct prctl_mm_map`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Map {
    start_code: u64,
    end_code: u64,
    start_data: u64,
    end_data: u64,
    start_brk: u64,
    brk: u64,
    start_stack: u64,
    arg_start: u64,
    arg_end: u64,
    env_start: u64,
    env_end: u64,
    auxv: u64,
    auxv_size: u32,
    exe_fd: u32,
}

/// Leaves the executable as it is.
const SAME_EXECUTABLE: u32 = u32::MAX;

/// Shows `title` in place of the command line. Called while there is one thread; a refusal changes nothing.
pub fn set(title: &str) {
    let Some(now) = fs::read_to_string("/proc/self/stat")
        .ok()
        .and_then(|stat| map(&stat))
    else {
        return;
    };
    let text: &'static [u8] = Vec::leak(format!("{title}\0").into_bytes());
    let start = text.as_ptr() as u64;
    let wanted = Map {
        // SAFETY: asks for the end of the heap and does not move it.
        brk: unsafe { libc::sbrk(0) } as u64,
        arg_start: start,
        arg_end: start + text.len() as u64,
        ..now
    };
    // SAFETY: the map is as the kernel wants it and lives; the text lives as long as the process.
    let refused = unsafe {
        libc::prctl(
            libc::PR_SET_MM,
            libc::PR_SET_MM_MAP,
            &raw const wanted,
            size_of::<Map>(),
            0,
        )
    };
    if refused != 0 {
        overwrite(&now, text);
    }
}

fn overwrite(now: &Map, text: &[u8]) {
    let room = usize::try_from(now.arg_end - now.arg_start).unwrap_or(0);
    if room == 0 {
        return;
    }
    let length = text.len().min(room);
    let arguments = now.arg_start as *mut u8;
    // SAFETY: the kernel names this part of the process's own memory, which has one thread.
    let present = unsafe { std::slice::from_raw_parts(arguments, room) };
    // Under valgrind the place is valgrind's own, which it reads again when it starts another process.
    if present != own_arguments() {
        return;
    }
    // SAFETY: the arguments are in the process's own stack, which is written while it has one thread;
    // all that is needed of them has been copied.
    unsafe {
        arguments.write_bytes(0, room);
        arguments.copy_from_nonoverlapping(text.as_ptr(), length - 1);
    }
}

/// The command line as the kernel lays it out.
fn own_arguments() -> Vec<u8> {
    let mut all = Vec::new();
    for argument in std::env::args_os() {
        all.extend_from_slice(argument.as_bytes());
        all.push(0);
    }
    all
}

/// The addresses in `/proc/self/stat` (proc_pid_stat(5)); its second field may have anything in it.
fn map(stat: &str) -> Option<Map> {
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    // The first of them is the third of all.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let map = Map {
        start_code: field(26)?,
        end_code: field(27)?,
        start_stack: field(28)?,
        start_data: field(45)?,
        end_data: field(46)?,
        start_brk: field(47)?,
        brk: 0,
        arg_start: field(48)?,
        arg_end: field(49)?,
        env_start: field(50)?,
        env_end: field(51)?,
        auxv: 0,
        auxv_size: 0,
        exe_fd: SAME_EXECUTABLE,
    };
    (map.arg_start > 0 && map.arg_end >= map.arg_start).then_some(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_this_process_are_found_whatever_its_name() {
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        let own = map(&stat).unwrap();
        assert!(own.start_code < own.end_code && own.arg_start < own.arg_end);
        let (pid, rest) = stat.split_once(' ').unwrap();
        let (_, rest) = rest.rsplit_once(')').unwrap();
        assert_eq!(map(&format!("{pid} (a) 1 (b){rest}")), Some(own));
        assert_eq!(map("1 (a) S 0"), None);
    }
}
