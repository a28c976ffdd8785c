#pragma once

// Memory of this process and of its tensors; errors about it; amounts as text.

#include <cstdint>
#include <exception>
#include <functional>
#include <string>

namespace data {

// Peak memory of the CPU tensors that `work` makes on this thread, in bytes, above what is
// allocated before it. Temporary buffers of libtorch count; those of its matrix libraries do not.
int64_t peak_tensor_bytes(const std::function<void()>& work);
// The same for tensors on the meta device, which use no memory: what `work` would need on a real
// device. Counts all threads; one call at a time.
int64_t peak_meta_bytes(const std::function<void()>& work);
// Allowance for the buffers of the matrix libraries, in bytes: an estimate.
constexpr double kMatrixBuffers = 64e6;

// Resident memory of a process now (0: this one), and the peak of this one, in bytes (Linux: VmRSS
// and VmHWM); 0 where unknown.
double resident_memory(int64_t process = 0);
double peak_memory();
// What programs can still get without swapping, in bytes: of the machine (MemAvailable), and of
// this process's container where it has a limit. 0 where unknown.
double available_memory();
// Resets the peak to what is resident now (proc(5), clear_refs); false where the kernel refuses.
bool reset_peak_memory();

// Makes the C library keep freed blocks for later allocations instead of returning them to the
// system, which would have to clear their pages again. Call it before threads start. The process
// may then hold more than its live tensors. No effect without glibc.
void keep_freed_memory();
// Returns them now, so that the resident memory is that of live tensors. No effect without glibc.
void return_freed_memory();

// Whether an allocation failed: of GPU memory, of a CPU tensor, or by new.
bool is_out_of_memory(const std::exception& error);
// The error's own words, on one line: "CUDA out of memory. Tried to allocate 2.00 GiB".
std::string memory_fault(const std::exception& error);

// "12GB", "800 MB", "3.5GiB" -> bytes; a number alone is bytes. Throws BadInput with `where` for
// any other text, and for 0.
double parse_bytes(const std::string& text, const std::string& where);
std::string bytes_text(double bytes);  // "12.30 GB", "800.0 MB"

}  // namespace data
