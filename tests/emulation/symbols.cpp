// The name of a kernel from its address: the table of symbols of this program's own file (ELF), which also knows
// functions that no other file sees.
#include <cxxabi.h>
#include <elf.h>
#include <link.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <vector>

#include "tests/emulation/schedule.h"

namespace cuda_emulation {
namespace {

struct Symbol {
  std::uintptr_t size;
  std::string name;
};

std::string demangled(const char* name) {
  int status = 0;
  char* text = abi::__cxa_demangle(name, nullptr, nullptr, &status);
  std::string result = status == 0 ? text : name;
  std::free(text);
  const std::string anonymous = "(anonymous namespace)::";
  for (std::size_t at; (at = result.find(anonymous)) != std::string::npos;) result.erase(at, anonymous.size());
  return result.substr(0, result.rfind('('));
}

// Where the program itself lies: the first object of the list.
std::uintptr_t load_address() {
  std::uintptr_t address = 0;
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* result) {
        *static_cast<std::uintptr_t*>(result) = info->dlpi_addr;
        return 1;
      },
      &address);
  return address;
}

template <class T>
const T* part(const std::vector<char>& file, std::size_t offset) {
  return reinterpret_cast<const T*>(file.data() + offset);
}

std::map<std::uintptr_t, Symbol> read_symbols() {
  std::ifstream input("/proc/self/exe", std::ios::binary);
  const std::vector<char> file{std::istreambuf_iterator<char>(input), {}};
  std::map<std::uintptr_t, Symbol> symbols;
  if (file.size() < sizeof(Elf64_Ehdr)) return symbols;
  const auto* header = part<Elf64_Ehdr>(file, 0);
  const auto* sections = part<Elf64_Shdr>(file, header->e_shoff);
  for (int i = 0; i < header->e_shnum; ++i) {
    if (sections[i].sh_type != SHT_SYMTAB) continue;
    const auto* table = part<Elf64_Sym>(file, sections[i].sh_offset);
    const char* names = part<char>(file, sections[sections[i].sh_link].sh_offset);
    for (std::size_t j = 0; j < sections[i].sh_size / sizeof(Elf64_Sym); ++j)
      if (ELF64_ST_TYPE(table[j].st_info) == STT_FUNC && table[j].st_size > 0)
        symbols[table[j].st_value] = {table[j].st_size, names + table[j].st_name};
  }
  return symbols;
}

}  // namespace

std::string function_name(const void* address) {
  static const std::map<std::uintptr_t, Symbol> symbols = read_symbols();
  const std::uintptr_t place = reinterpret_cast<std::uintptr_t>(address) - load_address();
  const auto next = symbols.upper_bound(place);
  if (next == symbols.begin()) return "(no symbol)";
  const auto& [start, symbol] = *std::prev(next);
  return place < start + symbol.size ? demangled(symbol.name.c_str()) : "(no symbol)";
}

}  // namespace cuda_emulation
