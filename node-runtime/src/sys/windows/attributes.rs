//! The attributes a process is born with: its jobs, the handles it inherits, its pseudo console.
#![expect(
    unsafe_code,
    reason = "the list is memory that Win32 lays out, and it points to ours"
)]

use std::ffi::c_void;
use std::io;
use std::marker::PhantomData;
use std::os::windows::io::BorrowedHandle;
use std::ptr;

use windows_sys::Win32::System::Threading::{
    DeleteProcThreadAttributeList, InitializeProcThreadAttributeList, LPPROC_THREAD_ATTRIBUTE_LIST,
    PROC_THREAD_ATTRIBUTE_HANDLE_LIST, PROC_THREAD_ATTRIBUTE_JOB_LIST,
    PROC_THREAD_ATTRIBUTE_PSEUDOCONSOLE, UpdateProcThreadAttribute,
};

use super::handle::check;
use super::pseudo_console::PseudoConsole;

/// At most: jobs, handles, pseudo console.
const MOST: u32 = 3;

/// An attribute list. What it points to is borrowed for as long as it lives.
#[derive(Debug)]
pub(super) struct Attributes<'a> {
    memory: Vec<usize>,
    borrowed: PhantomData<&'a ()>,
}

impl<'a> Attributes<'a> {
    /// An empty list.
    pub(super) fn new() -> io::Result<Self> {
        let mut bytes = 0;
        // It fails, for want of memory, and says how much it needs.
        // SAFETY: no list is given, so only the size is written, to a local.
        unsafe { InitializeProcThreadAttributeList(ptr::null_mut(), MOST, 0, &raw mut bytes) };
        let mut memory = vec![0_usize; bytes.div_ceil(size_of::<usize>())];
        // SAFETY: the memory has as many bytes as the call above asked for, aligned for pointers, and does not move while it is in the vector.
        let result = unsafe {
            InitializeProcThreadAttributeList(memory.as_mut_ptr().cast(), MOST, 0, &raw mut bytes)
        };
        check(result)?;
        Ok(Self {
            memory,
            borrowed: PhantomData,
        })
    }

    /// The jobs that the process is in from its first instruction on, the outer one first.
    pub(super) fn jobs(&mut self, jobs: &'a [BorrowedHandle<'a>]) -> io::Result<()> {
        self.handles(PROC_THREAD_ATTRIBUTE_JOB_LIST, jobs)
    }

    /// The only handles that it inherits.
    pub(super) fn inherited(&mut self, handles: &'a [BorrowedHandle<'a>]) -> io::Result<()> {
        self.handles(PROC_THREAD_ATTRIBUTE_HANDLE_LIST, handles)
    }

    /// Its console.
    pub(super) fn pseudo_console(&mut self, console: &'a PseudoConsole) -> io::Result<()> {
        // This attribute's value is the console itself and not a pointer to it.
        let value = ptr::without_provenance(console.value().cast_unsigned());
        // SAFETY: the console is borrowed for as long as the list lives, so it stays open.
        unsafe {
            self.update(
                PROC_THREAD_ATTRIBUTE_PSEUDOCONSOLE,
                value,
                size_of::<isize>(),
            )
        }
    }

    /// A list of handles; none where it is empty, which Windows refuses.
    fn handles(&mut self, attribute: u32, handles: &'a [BorrowedHandle<'a>]) -> io::Result<()> {
        if handles.is_empty() {
            return Ok(());
        }
        // A borrowed handle has the layout of a handle: the standard library promises it.
        let (value, bytes) = (handles.as_ptr().cast(), size_of_val(handles));
        // SAFETY: the slice is borrowed for as long as the list lives, and holds open handles of that many bytes.
        unsafe { self.update(attribute, value, bytes) }
    }

    /// Sets one attribute.
    ///
    /// # Safety
    /// `value` has `bytes` bytes of what the attribute wants, and lives as long as this list.
    unsafe fn update(
        &mut self,
        attribute: u32,
        value: *const c_void,
        bytes: usize,
    ) -> io::Result<()> {
        let attribute = usize::try_from(attribute).map_err(io::Error::other)?;
        // SAFETY: the list was initialised in `new`, each of its three attributes is set once, and the caller promises the value.
        let result = unsafe {
            UpdateProcThreadAttribute(
                self.as_ptr(),
                0,
                attribute,
                value,
                bytes,
                ptr::null_mut(),
                ptr::null(),
            )
        };
        check(result)
    }

    /// Where it is.
    pub(super) fn as_ptr(&mut self) -> LPPROC_THREAD_ATTRIBUTE_LIST {
        self.memory.as_mut_ptr().cast()
    }
}

impl Drop for Attributes<'_> {
    fn drop(&mut self) {
        // SAFETY: the list was initialised in `new`, and nothing uses it any more.
        unsafe { DeleteProcThreadAttributeList(self.as_ptr()) };
    }
}
