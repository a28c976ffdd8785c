#pragma once

// How much memory a piece of work takes.

#include <cstdint>
#include <exception>
#include <functional>
#include <string>

namespace data {

// The most that tensors made by `work` on this thread held at once on the CPU, in bytes, beside
// what is there already. libtorch's own passing buffers count; those of its matrix libraries do
// not.
int64_t peak_tensor_bytes(const std::function<void()>& work);
// The same of tensors on the meta device, which take no memory: what `work` would hold at once on a
// device of its own. On all threads; one at a time.
int64_t peak_meta_bytes(const std::function<void()>& work);
// An allowance for the latter, in bytes: a guess.
constexpr double kMatrixBuffers = 64e6;

// Memory of this process that is resident now, and the most so far, in bytes (Linux's VmRSS and
// VmHWM); 0 where it is not known.
double resident_memory();
double peak_memory();
// Lets the peak start anew from what is resident now (proc(5), clear_refs); false where the kernel
// will not.
bool reset_peak_memory();

// Lets the C library keep freed blocks for the next allocation instead of giving them back to the
// system, which would clear their pages anew each time. To be called before threads start. A run
// may then hold more than its live tensors. Does nothing where the library is not glibc.
void keep_freed_memory();

// An allocation failed: a GPU's, the CPU's tensors', or another of the program's.
bool is_out_of_memory(const std::exception& error);
// What it says of itself, in a line: "CUDA out of memory. Tried to allocate 2.00 GiB".
std::string memory_fault(const std::exception& error);

// "12GB", "800 MB", "3.5GiB" -> bytes; a number alone is bytes. Throws BadInput naming `where` for
// anything else, and for 0.
double parse_bytes(const std::string& text, const std::string& where);
std::string bytes_text(double bytes);  // "12.30 GB", "800.0 MB"

}  // namespace data
