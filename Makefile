# Makefile
#
#   make            builds the extension for the server that PG_CONFIG names
#   make install    installs it; make installcheck runs its SQL tests against a running server
#   make check      installs what is missing, builds, runs every test in private clusters, sums up
#   make demo       trains a model on the bundled sample in a private cluster and shows what it does
#   make demo-stop  stops the demo's cluster
#   make packages   installs the Debian packages that are missing (scripts/packages.txt)
#   make unit       runs the engine's unit tests, with SANITIZE=1 under ASan and UBSan, SANITIZE=thread under TSan
#   make format     formats the C files
#   make fuzz       runs libFuzzer on the readers of files; SECONDS=3600 says for how long each
#   make bench      measures; see docs/benchmarks.md
#   make torture    faults and load on private servers; see docs/torture.md
#   make release    copies sql/gpt.sql to sql/released, as the script of the version in gpt.control
#   make dist       makes build/gpt-VERSION.zip, the archive for PGXN, of the last commit
#
# The engine (src/engine) is compiled without the server's include path: that is the border between the layers.

EXTENSION = gpt
EXTVERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" gpt.control)
MODULE_big = gpt

# From the bottom up; calls go down only (scripts/border.sh).
ROOMS = core store remote corpus train jobs serve sql
SERVER_SOURCES = $(sort $(wildcard $(ROOMS:%=src/%/*.c)))
ENGINE_SOURCES = $(sort $(wildcard src/engine/*/*.c))
ENGINE_OBJS = $(ENGINE_SOURCES:.c=.o)
SERVER_OBJS = $(SERVER_SOURCES:.c=.o)
OBJS = $(SERVER_OBJS) $(ENGINE_OBJS)
ENGINE_HEADERS = $(wildcard include/engine/*.h src/engine/*/*.h)
ALL_HEADERS = $(ENGINE_HEADERS) $(wildcard $(ROOMS:%=include/%/*.h) $(ROOMS:%=src/%/*.h))

DATA_built = sql/gpt--$(EXTVERSION).sql
# Scripts of released versions never change: they are what upgrades start from.
# That of the present version equals sql/gpt.sql (scripts/border.sh), from which its script is made.
DATA = $(filter-out sql/released/gpt--$(EXTVERSION).sql,$(wildcard sql/released/gpt--*.sql sql/gpt--*--*.sql))
REGRESS = $(patsubst test/sql/%.sql,%,$(sort $(wildcard test/sql/*.sql)))
REGRESS_OPTS = --inputdir=test --outputdir=$(or $(OUT),build) --load-extension=gpt
override CONTRIB_TESTDB := regression
ISOLATION = $(patsubst test/specs/%.spec,%,$(sort $(wildcard test/specs/*.spec)))
ISOLATION_OPTS = $(REGRESS_OPTS)
EXTRA_CLEAN = build sql/gpt--$(EXTVERSION).sql gpt_gloo.so

WARNINGS = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla \
	-Wformat-security -Wimplicit-fallthrough -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers
WERROR ?=
PG_CPPFLAGS = -Iinclude -Isrc -I$(libpq_srcdir) -DGPT_VERSION='"$(EXTVERSION)"'
PG_CFLAGS = -Wno-declaration-after-statement -Wno-vla $(WERROR)
SHLIB_PREREQS = build/exports.map
SHLIB_LINK_INTERNAL = $(libpq)
SHLIB_LINK = -Wl,--version-script=build/exports.map -licuuc -licui18n -lpthread -ldl -lm

# The engine's own flags. -ffp-contract=off: a fused multiply-add is written where it is wanted.
ENGINE_CFLAGS = -std=gnu11 -O2 -g -fPIC -fvisibility=hidden -fno-math-errno -fno-trapping-math -ffp-contract=off \
	-ftree-vectorize $(WARNINGS) $(WERROR)
SIMD_FLAGS_base = -march=x86-64-v2
SIMD_FLAGS_avx2 = -march=x86-64-v3
SIMD_FLAGS_avx512 = -march=x86-64-v4 -mprefer-vector-width=512
SIMD_FLAGS_avx512vnni = $(SIMD_FLAGS_avx512) -mavx512vnni
SIMD_FLAGS_avx512bf16 = $(SIMD_FLAGS_avx512vnni) -mavx512bf16
SIMD_FLAGS_amx = $(SIMD_FLAGS_avx512bf16) -mamx-tile -mamx-bf16
ifneq ($(filter x86_64 amd64,$(shell uname -m)),x86_64)
SIMD_FLAGS_base =
SIMD_FLAGS_avx2 =
SIMD_FLAGS_avx512 =
SIMD_FLAGS_avx512vnni =
SIMD_FLAGS_avx512bf16 =
SIMD_FLAGS_amx =
endif
simd_flags = $(SIMD_FLAGS_$(word 2,$(subst _simd_, ,$(basename $(notdir $(1))))))

# The gradient channel of trainings over servers, an object of its own that gpt.so loads when one wants it. It is built
# where libgloo-dev and libssl-dev are; the extension does without. -idirafter: src/gloo/compat stands in for a header
# that libgloo-dev of Debian 12 lacks. Known before the rules that need it: make expands prerequisites as it reads them.
GLOO_SOURCES = $(sort $(wildcard src/gloo/*.cpp))
GLOO_HEADERS = $(wildcard src/gloo/*.h src/gloo/compat/gloo/common/*.h) include/engine/collective.h
GLOO_CXX = $(or $(CXX),g++)
GLOO_CXXFLAGS = -std=gnu++17 -O2 -g -fPIC -fvisibility=hidden -Wall -Wextra -Wno-unused-parameter $(WERROR)
GLOO_LIBS = -lgloo -lcrypto -lpthread
HAS_GLOO := $(shell printf '\#include <gloo/config.h>\n\#include <openssl/evp.h>\n' | g++ -E -x c++ - >/dev/null 2>&1 && echo yes)
GLOO_LIBRARY = $(if $(HAS_GLOO),gpt_gloo.so,without-gloo)

# These targets do without pg_config, which their scripts may have to install first.
HOUSE = check demo demo-stop packages release format format-check unit unit-programs fuzz fuzz-programs bench bench-programs torture \
	dist
PG_CONFIG ?= pg_config
ifeq ($(filter-out $(HOUSE),$(or $(MAKECMDGOALS),all)),)
check demo torture dist:
	@scripts/$@.sh

else ifneq ($(shell command -v $(PG_CONFIG) 2>/dev/null),)
override with_llvm := no
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)
all: $(GLOO_LIBRARY)
install: install-gloo
uninstall: uninstall-gloo
else
all install installcheck:
	@echo "$(PG_CONFIG) was not found: set PG_CONFIG, or run 'make packages' to install what the build needs" >&2; exit 1
clean:
	rm -rf build $(OBJS) gpt.so sql/gpt--$(EXTVERSION).sql
.PHONY: all install installcheck clean
endif

$(ENGINE_OBJS): %.o: %.c $(ENGINE_HEADERS)
	$(CC) $(ENGINE_CFLAGS) $(call simd_flags,$<) -Iinclude -Isrc/engine -c -o $@ $<

$(SERVER_OBJS): $(ALL_HEADERS) gpt.control

# Symbols of the library: SQL functions, worker entry points, and what the server needs to load it.
build/exports.map: $(SERVER_SOURCES)
	@mkdir -p $(@D)
	@{ echo '{ global: Pg_magic_func; _PG_init; pg_finfo_*; gpt_*_main;'; \
	sed -n 's/^PG_FUNCTION_INFO_V1(\(.*\));.*/\1;/p' $(SERVER_SOURCES); echo 'local: *; };'; } >$@

sql/gpt--$(EXTVERSION).sql: sql/gpt.sql gpt.control
	cp $< $@

$(GLOO_SOURCES:%.cpp=build/%.o): build/%.o: %.cpp $(GLOO_HEADERS)
	@mkdir -p $(@D)
	$(GLOO_CXX) $(GLOO_CXXFLAGS) -Iinclude -idirafter src/gloo/compat -c -o $@ $<

gpt_gloo.so: $(GLOO_SOURCES:%.cpp=build/%.o) src/gloo/exports.map
	$(GLOO_CXX) -shared -Wl,-z,defs -Wl,--version-script=src/gloo/exports.map -o $@ $(filter %.o,$^) $(GLOO_LIBS)

without-gloo:
	@echo "gpt_gloo.so is not built: libgloo-dev or libssl-dev is missing; trainings over servers have \"sync\" by rounds only"

install-gloo: $(GLOO_LIBRARY) installdirs
	$(if $(HAS_GLOO),$(INSTALL_SHLIB) gpt_gloo.so '$(DESTDIR)$(pkglibdir)/gpt_gloo.so')

uninstall-gloo:
	rm -f '$(DESTDIR)$(pkglibdir)/gpt_gloo.so'

.PHONY: without-gloo install-gloo uninstall-gloo

# Unit tests: the engine alone, without a server, from the objects that the extension is linked from. SANITIZE=1 builds
# engine and tests with ASan and UBSan, SANITIZE=thread with TSan; -O1 compiles five times as fast as -O2 there, a test
# alone by a third, and the programs run as fast.
UNIT_SOURCES = $(sort $(wildcard test/unit/test_*.c))
SANITIZE ?=
UNIT_BUILD = build/unit$(if $(SANITIZE),-$(if $(filter thread,$(SANITIZE)),thread,sanitize))
SANITIZE_FLAGS = $(if $(filter thread,$(SANITIZE)),-fsanitize=thread,-fsanitize=address$(comma)undefined -fno-sanitize-recover=undefined)
UNIT_CFLAGS = -O1 $(if $(SANITIZE),$(SANITIZE_FLAGS) -g1 -fno-omit-frame-pointer -DLM_SANITIZE)
comma = ,
# UBSan judges the engine, not the tests: they compile in three quarters of the time.
UNIT_TEST_CFLAGS = $(if $(SANITIZE),-fno-sanitize=undefined)
UNIT_ENGINE_OBJS = $(if $(SANITIZE),$(ENGINE_SOURCES:%.c=$(UNIT_BUILD)/%.o),$(ENGINE_OBJS))
UNIT_PROGRAMS = $(UNIT_SOURCES:test/unit/%.c=$(UNIT_BUILD)/%)
UNIT_LIBS = -licuuc -licui18n -lpthread -ldl -lm

$(ENGINE_SOURCES:%.c=$(UNIT_BUILD)/%.o): $(UNIT_BUILD)/%.o: %.c $(ENGINE_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(ENGINE_CFLAGS) $(UNIT_CFLAGS) $(call simd_flags,$<) -Iinclude -Isrc/engine -c -o $@ $<

$(UNIT_BUILD)/libengine.a: $(UNIT_ENGINE_OBJS)
	@mkdir -p $(@D)
	rm -f $@; ar rcs $@ $^

$(UNIT_PROGRAMS): $(UNIT_BUILD)/%: test/unit/%.c $(UNIT_BUILD)/libengine.a $(ENGINE_HEADERS) $(wildcard test/unit/*.h test/fuzz/*.h)
	@mkdir -p $(@D)/tests
	$(CC) $(ENGINE_CFLAGS) $(UNIT_CFLAGS) $(UNIT_TEST_CFLAGS) -Iinclude -Isrc/engine -Itest/unit -c -o $(@D)/tests/$(@F).o $<
	$(CC) $(UNIT_CFLAGS) -o $@ $(@D)/tests/$(@F).o $(UNIT_BUILD)/libengine.a $(UNIT_LIBS)

# The channel's test loads the library that lies beside it, with the sanitizer of the program.
$(GLOO_SOURCES:%.cpp=$(UNIT_BUILD)/%.o): $(UNIT_BUILD)/%.o: %.cpp $(GLOO_HEADERS)
	@mkdir -p $(@D)
	$(GLOO_CXX) $(GLOO_CXXFLAGS) $(UNIT_CFLAGS) -Iinclude -idirafter src/gloo/compat -c -o $@ $<

$(UNIT_BUILD)/gpt_gloo.so: $(GLOO_SOURCES:%.cpp=$(if $(SANITIZE),$(UNIT_BUILD),build)/%.o)
	@mkdir -p $(@D)
	$(GLOO_CXX) -shared $(UNIT_CFLAGS) -o $@ $^ $(GLOO_LIBS)

$(UNIT_BUILD)/test_collective: $(if $(HAS_GLOO),$(UNIT_BUILD)/gpt_gloo.so)

unit-programs: $(UNIT_PROGRAMS)

unit: unit-programs
	prove $(if $(VERBOSE),-v) $(UNIT_PROGRAMS)

# Targets of libFuzzer, which is clang's, under ASan and UBSan: the readers of files that users bring. scripts/fuzz.sh
# runs one of them.
FUZZ_CC = clang
FUZZ_CFLAGS = -O1 -g1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
FUZZ_ENGINE = $(filter src/engine/formats/% src/engine/text/%,$(ENGINE_SOURCES)) src/engine/base/error.c src/engine/base/memory.c
FUZZ_PROGRAMS = $(patsubst test/fuzz/%.c,build/fuzz/%,$(sort $(wildcard test/fuzz/fuzz_*.c)))

$(FUZZ_ENGINE:%.c=build/fuzz/%.o): build/fuzz/%.o: %.c $(ENGINE_HEADERS)
	@mkdir -p $(@D)
	$(FUZZ_CC) $(ENGINE_CFLAGS) $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link -Iinclude -Isrc/engine -c -o $@ $<

build/fuzz/libengine.a: $(FUZZ_ENGINE:%.c=build/fuzz/%.o)
	rm -f $@; ar rcs $@ $^

$(FUZZ_PROGRAMS): build/fuzz/%: test/fuzz/%.c $(wildcard test/fuzz/*.h) build/fuzz/libengine.a
	$(FUZZ_CC) $(ENGINE_CFLAGS) $(FUZZ_CFLAGS) -fsanitize=fuzzer -Iinclude -Isrc/engine -o $@ $< build/fuzz/libengine.a \
		-licuuc -licui18n -lm

fuzz-programs: $(FUZZ_PROGRAMS)

fuzz: fuzz-programs
	prove -v -e 'scripts/fuzz.sh $(or $(SECONDS),60)' $(FUZZ_PROGRAMS)

# Benchmarks: programs of the engine alone, and what bench/run.sh does with them beside PyTorch.
BENCH_PROGRAMS = $(patsubst bench/%.c,build/bench/%,$(wildcard bench/*.c))

$(BENCH_PROGRAMS): build/bench/%: bench/%.c $(wildcard bench/*.h) build/unit/libengine.a
	@mkdir -p $(@D)
	$(CC) $(ENGINE_CFLAGS) -Iinclude -Isrc/engine -o $@ $< build/unit/libengine.a $(UNIT_LIBS)

bench-programs: $(BENCH_PROGRAMS)

bench: bench-programs
	bench/run.sh
	bench/tasks.sh

# The faults of `make torture`: a library that the server preloads.
build/torture/fault.so: test/torture/fault.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 -g -fPIC -shared $(WARNINGS) $(WERROR) -o $@ $< -ldl

demo-stop:
	scripts/demo.sh stop

packages:
	scripts/packages.sh

release:
	cp sql/gpt.sql sql/released/gpt--$(EXTVERSION).sql

format:
	clang-format -i $(FORMATTED)

format-check:
	clang-format --dry-run -Werror $(FORMATTED)

FORMATTED = $(SERVER_SOURCES) $(ALL_HEADERS) $(ENGINE_SOURCES) $(wildcard test/unit/*.[ch] test/fuzz/*.[ch] bench/*.[ch] test/torture/*.c) \
	$(GLOO_SOURCES) $(filter-out include/%,$(GLOO_HEADERS))

.PHONY: $(HOUSE)
