# plait: a hand-written, non-recursive Makefile that needs no configure.
# `make help` says what there is to make; CONTRIBUTING.md how to test.

all::
.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:
.PHONY: all tests check check-long check-long-random check-long-scenarios check-long-children check-compiled check-unit check-threads check-cancel check-null check-bindings check-headers check-layers check-symbols \
	check-circles check-man check-html check-claims check-hardening check-growth check-abi record-abi check-counts record-counts check-names check-tls check-inotifywait check-programs html install-html demo bench record-bench fuzz run-fuzz coverage coverage-simulated mutants \
	test-deps format-check install uninstall clean help FORCE

VERSION = 0.1.0
ABI = 0
TLS_ABI = 0

# What may be set on the command line, in config.mak, or by ./configure.
prefix = /usr/local
exec_prefix = $(prefix)
libdir = $(exec_prefix)/lib
includedir = $(prefix)/include
datarootdir = $(prefix)/share
mandir = $(datarootdir)/man
docdir = $(datarootdir)/doc/plait
examplesdir = $(docdir)/examples
htmldir = $(docdir)/html
pkgconfigdir = $(libdir)/pkgconfig
CC = cc
CXX = c++
AR = ar
OBJCOPY = objcopy
CFLAGS = -g -O2
HAVE_EPOLL = $(if $(filter Linux,$(shell uname -s)),1)
# libplait-tls is built where pkg-config finds OpenSSL 3; HAVE_OPENSSL= leaves it out.
HAVE_OPENSSL := $(shell pkg-config --atleast-version=3.0 openssl 2>/dev/null && echo 1)
-include config.mak.autogen	# ./configure wrote it; optional
-include config.mak		# yours

comma = ,
O = build$(if $(SANITIZE),-$(subst $(comma),-,$(SANITIZE)))$(if $(COVERAGE),-coverage)
Q = $(if $(V),,@printf '  %-7s %s\n' $(1) $(patsubst $O/%,%,$(2));)
JOBS = $(shell nproc 2>/dev/null || echo 2)

# Testing and showing off are done in parallel even when nobody says -j.
ifneq ($(filter tests check% demo bench record-bench fuzz coverage mutants,$(MAKECMDGOALS)),)
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(JOBS)
endif
endif

# What there is: every source in these folders.
SRC = $(filter-out $(TLS_SRC),$(sort $(wildcard lib/*.c reactor/*/*.c protocols/*.c protocols/*/*.c)))
HEADERS = $(filter-out $(LEFT_OUT),$(wildcard include/plait/*.h))
COMMON_SRC = $(wildcard samples/common/*.c)
EXAMPLES = $(filter-out $(LEFT_OUT),$(wildcard samples/Makefile samples/*.c samples/common/*.[ch] samples/tls/*.c samples/poetry/*))
SAMPLES = $(patsubst %.c,$O/%,$(filter-out $(LEFT_OUT),$(wildcard samples/*.c)))
TEST_SRC = $(filter-out $(LEFT_OUT),$(if $T,$(T:%=tests/test_%.c),$(wildcard tests/test_*.c)))
TESTS = $(TEST_SRC:%.c=$O/%)
FUZZERS = $(patsubst %.c,$O/%,$(filter-out $(LEFT_OUT),$(wildcard tests/fuzz_*.c)))
# The second library, libplait-tls, and all that is there for it only: what
# stands on OpenSSL has the name of TLS, so that it can be left out.
TLS_SRC = $(sort $(wildcard protocols/tls/*.c))
TLS_HARNESS_SRC = $(wildcard tests/tls*.c)
TLS_SAMPLES = $(patsubst %.c,$O/%,$(wildcard samples/tls-*.c))
TLS_TESTS = $(patsubst %.c,$O/%,$(wildcard tests/test_tls*.c))
LEFT_OUT = $(if $(HAVE_OPENSSL),,$(wildcard include/plait/tls*.h samples/tls-*.c samples/tls/*.c tests/test_tls* tests/fuzz_tls* man/*tls*))
SAY_LEFT_OUT = $(if $(HAVE_OPENSSL),,@echo "left out, as pkg-config finds no openssl >= 3.0 (Debian: libssl-dev):" 	libplait-tls $(1))
SAY_SUITES_LEFT_OUT = $(call SAY_LEFT_OUT,$(patsubst tests/%,%,$(filter tests/%,$(basename $(LEFT_OUT)))))
# The servers of the benchmark, on plait and on each library that is installed.
HAS_HEADER = $(shell echo '\#include $(1)' | $(CC) $(CPPFLAGS) -E -x c - >/dev/null 2>&1 && echo yes)
BENCH_PEERS = $(if $(call HAS_HEADER,<uv.h>),uv) $(if $(call HAS_HEADER,<ev.h>),ev) \
	$(if $(call HAS_HEADER,<event2/event.h>),event bufferevent)
BENCH_FILES = load $(if $(HAVE_OPENSSL),tls_load tls_raw tls_plait) $(foreach p,raw plait $(if $(filter bench record-bench,$(MAKECMDGOALS)),$(BENCH_PEERS)),$p $p_alone)
BENCH_PROGRAMS = $(patsubst %,$O/bench/%,$(filter $(basename $(notdir $(wildcard bench/*.c))),$(BENCH_FILES)))
HARNESS_SRC = $(filter-out tests/test_% tests/fuzz_% $(SCENARIO_SRC) $(TLS_HARNESS_SRC),$(wildcard tests/*.c))
SCENARIO_SRC = $(wildcard tests/scenario*.c) tests/sample.c tests/witness.c
# The samples that serve or connect, and what they share, run in scenarios, too.
SIMULATED = $(filter-out samples/defer-cancel-% samples/deferred-simulator.c samples/demo.c samples/tls-%,$(wildcard samples/*.c)) \
	$(COMMON_SRC)
FUZZ_SRC = tests/dialogue.c tests/machine.c tests/race.c tests/receivers.c tests/steps.c tests/tangle.c \
	tests/trace.c tests/wrapped.c
PROGRAM_TESTS = $(filter-out $(LEFT_OUT),$(wildcard tests/test_*.py))
PAGES = $(filter-out $(LEFT_OUT),$(wildcard man/*.[137]))
ALIAS_STAMP = $O/man/aliases

# Hardening, as far as this compiler and linker have it; asked once, when
# something is built.  It stands before CFLAGS and LDFLAGS, which may undo it.
# Fortifying works only in optimised code, and hides calls from sanitizers.
# docs/PERFORMANCE.md says what it costs, and why it is no stronger.
PROBE = $(shell echo 'int main(void) { return 0; }' | \
	$(CC) -Werror $(1) -o /dev/null -x c - 2>/dev/null && echo '$(1)')
IS_OPTIMISED = $(filter-out -O0,$(lastword $(filter -O%,$(CFLAGS))))
CAN_FORTIFY = $(if $(SANITIZE)$(COVERAGE)$(findstring _FORTIFY_SOURCE,$(CFLAGS) $(CPPFLAGS)),,$(IS_OPTIMISED))
HARDEN_CFLAGS = $(eval HARDEN_CFLAGS := $(call PROBE,-fstack-protector) \
	$(if $(CAN_FORTIFY),-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2))$(HARDEN_CFLAGS)
HARDEN_LDFLAGS = $(eval HARDEN_LDFLAGS := $(call PROBE,-Wl$(comma)-z$(comma)relro$(comma)-z$(comma)now))$(HARDEN_LDFLAGS)

WARNINGS = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wpointer-arith -Wwrite-strings -Wvla -Wundef -Wno-unused-parameter
# Of what is compiled for others; the tests use sockets as everybody does.
ALIASING = $(if $(DEVELOPER),-Wstrict-aliasing=2)
LANGUAGE = -std=gnu11 $(if $(DEVELOPER),$(WARNINGS) -Werror,-Wall) -pthread
INSTRUMENT = $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer) \
	$(if $(COVERAGE),--coverage -O0 -fprofile-update=atomic -DPLAIT_COVERAGE)
COMMON_FLAGS = $(LANGUAGE) $(HARDEN_CFLAGS) $(CFLAGS) $(INSTRUMENT) $(CPPFLAGS)
LIB_FLAGS = $(COMMON_FLAGS) $(ALIASING) -fPIC -fno-semantic-interposition -D_GNU_SOURCE \
	$(if $(HAVE_EPOLL),-DHAVE_EPOLL)
# The tests' own build of the library: it verifies itself, and the compiler
# may neither remove an allocation nor swap a call for a checked one, nor hide
# a call until the program is linked, so that every one can be made to fail.
VERIFY_FLAGS = $(LIB_FLAGS) -DPLAIT_VERIFY -U_FORTIFY_SOURCE -fno-builtin-malloc \
	-fno-builtin-calloc -fno-builtin-realloc -fno-builtin-free -fno-lto
INCLUDES = -Iinclude -I.
ALL_LDFLAGS = $(LANGUAGE) $(HARDEN_CFLAGS) $(CFLAGS) $(INSTRUMENT) $(HARDEN_LDFLAGS) $(LDFLAGS)
FLAGS = $(CC) $(VERIFY_FLAGS) $(HARDEN_LDFLAGS) $(LDFLAGS) $(AR) $(OBJCOPY) $(OPENSSL_CFLAGS)
# Of what stands on OpenSSL, whose deprecated functions are not used.
OPENSSL_CFLAGS := $(if $(HAVE_OPENSSL),$(shell pkg-config --cflags openssl)) -DOPENSSL_API_COMPAT=30000
OPENSSL_LIBS := $(if $(HAVE_OPENSSL),$(shell pkg-config --libs openssl))
$(addprefix $O/,obj/protocols/tls/% verify/protocols/tls/% grown/protocols/tls/% samples/tls%): USED_CFLAGS = $(OPENSSL_CFLAGS)
$O/tests/tls% $O/tests/test_tls% $O/tests/fuzz_tls%: USED_CFLAGS = $(OPENSSL_CFLAGS) -DCERTIFICATES='"$O/certificates/"'

# The shipped library, and the one the tests use.
STATIC = $O/libplait.a
SHARED = $O/libplait.so.$(VERSION)
VERIFIED = $O/verify/libplait.a
GROWN = $O/grown/libplait.a
TLS_STATIC = $O/libplait-tls.a
TLS_SHARED = $O/libplait-tls.so.$(VERSION)
TLS_VERIFIED = $O/verify/libplait-tls.a
TLS_GROWN = $O/grown/libplait-tls.a
# Coverage is counted in one build of each source: samples use that too.
SAMPLE_LIB = $(if $(COVERAGE),$(VERIFIED),$(STATIC))
TLS_SAMPLE_LIB = $(if $(COVERAGE),$(TLS_VERIFIED),$(TLS_STATIC))

all:: $(STATIC) $(SHARED) $O/plait.pc $(SAMPLES) $(ALIAS_STAMP)
ifneq ($(HAVE_OPENSSL),)
all:: $(TLS_STATIC) $(TLS_SHARED) $O/plait-tls.pc
else
all::
	$(SAY_LEFT_OUT)
endif

$O/flags: FORCE			# changed flags rebuild, unchanged ones do not
	@mkdir -p $(@D)
	@echo '$(FLAGS)' | cmp -s - $@ || echo '$(FLAGS)' >$@

$O/obj/%.o: %.c $O/flags
	@mkdir -p $(@D)
	$(call Q,CC,$<) $(CC) $(LIB_FLAGS) $(INCLUDES) $(USED_CFLAGS) -MMD -MP -c -o $@ $<
$O/verify/%.o: %.c $O/flags
	@mkdir -p $(@D)
	$(call Q,CC,$@) $(CC) $(VERIFY_FLAGS) $(INCLUDES) $(USED_CFLAGS) -MMD -MP -c -o $@ $<
# The library as a later version may be: each struct of programs has a member
# in its reserved words (tests/grown/structs).
$O/grown/headers: $(HEADERS) tests/grown/structs scripts/grow-headers
	$(call Q,GROW,$@) scripts/grow-headers $O/grown/include && touch $@
$O/grown/%.o: %.c $O/flags $O/grown/headers
	@mkdir -p $(@D)
	$(call Q,CC,$@) $(CC) $(LIB_FLAGS) -DPLAIT_TEST_GROWN -I$O/grown/include $(INCLUDES) $(USED_CFLAGS) \
		-MMD -MP -c -o $@ $<
$O/samples/%.o: samples/%.c $O/flags
	@mkdir -p $(@D)
	$(call Q,CC,$<) $(CC) $(COMMON_FLAGS) $(ALIASING) -Iinclude -Isamples $(USED_CFLAGS) -MMD -MP -c -o $@ $<
$O/tests/%.o: tests/%.c $O/flags
	@mkdir -p $(@D)
	$(call Q,CC,$<) $(CC) $(COMMON_FLAGS) -D_GNU_SOURCE $(if $(HAVE_EPOLL),-DHAVE_EPOLL) \
		-Iinclude -I. $(CHECK_CFLAGS) $(USED_CFLAGS) -MMD -MP -c -o $@ $<

# A sample in a simulation: its main() and what it prints are replaced.
$O/simulated/%.o: samples/%.c $O/flags
	@mkdir -p $(@D)
	$(call Q,CC,$@) $(CC) $(COMMON_FLAGS) $(ALIASING) -Iinclude -Isamples -I. -include tests/sample.h \
		-DSAMPLE=sample_$(subst -,_,$(*F)) $(REPLACED) -MMD -MP -c -o $@ $<

$O/simulated/common/program.o: REPLACED = -Dprogram_reactor=replaced_reactor -Dprogram_run=replaced_run

# The list of sources is a dependency too: a library forgets a file that went.
$O/sources: FORCE
	@mkdir -p $(@D)
	@echo '$(SRC) $(TLS_SRC)' | cmp -s - $@ || echo '$(SRC) $(TLS_SRC)' >$@

$(STATIC): $(SRC:%.c=$O/obj/%.o)
$(VERIFIED): $(SRC:%.c=$O/verify/%.o)
$(GROWN): $(SRC:%.c=$O/grown/%.o)
$(TLS_STATIC): $(TLS_SRC:%.c=$O/obj/%.o)
$(TLS_VERIFIED): $(TLS_SRC:%.c=$O/verify/%.o)
$(TLS_GROWN): $(TLS_SRC:%.c=$O/grown/%.o)
$(STATIC) $(VERIFIED) $(GROWN) $(TLS_STATIC) $(TLS_VERIFIED) $(TLS_GROWN): $O/sources
	@mkdir -p $(@D)
	$(call Q,AR,$@) rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)
# An so.ABI beside the so.VERSION is what programs ask for.
SONAME = $(patsubst %.$(VERSION),%.$(SO_ABI),$(@F))
LINK_SHARED = $(CC) $(ALL_LDFLAGS) -shared -Wl,-soname,$(SONAME) \
	$(patsubst %,-Wl$(comma)--version-script=%,$(filter %.map,$^)) \
	$(if $(INSTRUMENT),,-Wl$(comma)-z$(comma)defs) -o $@ $(filter %.o %.so.$(VERSION),$^)
$(SHARED): SO_ABI = $(ABI)
$(SHARED): $(SRC:%.c=$O/obj/%.o) libplait.map $O/sources
	$(call Q,LINK,$@) $(LINK_SHARED)
	@ln -sf $(@F) $O/$(SONAME) && ln -sf $(@F) $O/libplait.so
$(TLS_SHARED): SO_ABI = $(TLS_ABI)
# libplait.a behind libplait.so: what ends the exceptions of a C++ program is in
# each library, as the unwinder wants it near.
$(TLS_SHARED): $(TLS_SRC:%.c=$O/obj/%.o) libplait-tls.map $(SHARED) $(STATIC) $O/sources
	$(call Q,LINK,$@) $(LINK_SHARED) $(STATIC) $(OPENSSL_LIBS)
	@ln -sf $(@F) $O/$(SONAME) && ln -sf $(@F) $O/libplait-tls.so
$O/plait.pc $O/plait-tls.pc: $O/%.pc: %.pc.in $O/flags FORCE
	@sed -e 's|@prefix@|$(prefix)|' -e 's|@libdir@|$(libdir)|' -e 's|@version@|$(VERSION)|' \
		-e 's|@includedir@|$(includedir)|' $< >$@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

# These take endpoints, also of the kind tls where that is.
MAY_USE_TLS = $(if $(HAVE_OPENSSL),$(patsubst %,$O/samples/%,get-poetry poetry-proxy portforward))
$(MAY_USE_TLS): $O/samples/tls/endpoints.o
$(filter-out $(TLS_SAMPLES) $(MAY_USE_TLS),$(SAMPLES)): $O/samples/%: $O/samples/%.o $(COMMON_SRC:%.c=$O/%.o) $(SAMPLE_LIB)
	$(call Q,LINK,$@) $(CC) $(ALL_LDFLAGS) -o $@ $^
$(TLS_SAMPLES) $(MAY_USE_TLS): $O/samples/%: $O/samples/%.o $(COMMON_SRC:%.c=$O/%.o) $(TLS_SAMPLE_LIB) $(SAMPLE_LIB)
	$(call Q,LINK,$@) $(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(OPENSSL_LIBS)

# Certificates for tests, which are never kept in the tree.
$O/certificates/made: scripts/make-certificates
	$(call Q,MAKE,$(@D)) scripts/make-certificates $(@D) && touch $@

# The seam: in the library that the tests link, each function of
# tests/wrap.list is called by the name seam_FUNCTION, which tests/fault.c
# defines.  Only the library's calls go there, not those of the tests.
$O/verify/seam.syms: tests/wrap.list $O/flags
	@sed -n 's/^\([a-z_0-9]*\).*/\1/; /./s/.*/& seam_&/p' $< >$@
$O/verify/libseam.a: $(VERIFIED) $O/verify/seam.syms
$O/verify/libseam-tls.a: $(TLS_VERIFIED) $O/verify/seam.syms
$O/verify/libseam.a $O/verify/libseam-tls.a:
	$(call Q,SEAM,$@) $(OBJCOPY) --redefine-syms=$O/verify/seam.syms $< $@

CHECK_CFLAGS = $(shell pkg-config --cflags check)
CHECK_LIBS = $(shell pkg-config --libs check)
LINK_TEST = $(call Q,LINK,$@) $(CC) $(ALL_LDFLAGS) -Wl,--wrap=_mark_point -o $@ $(filter %.o,$^) $(filter %.a,$^) $(CHECK_LIBS)
$O/tests/test_%: $O/tests/test_%.o $(HARNESS_SRC:%.c=$O/%.o) $O/verify/libseam.a
	$(LINK_TEST)
$(TLS_TESTS): $O/tests/%: $O/tests/%.o $(HARNESS_SRC:%.c=$O/%.o) $(TLS_HARNESS_SRC:%.c=$O/%.o) \
		$O/verify/libseam-tls.a $O/verify/libseam.a | $O/certificates/made
	$(LINK_TEST) $(OPENSSL_LIBS)
$O/tests/test_scenarios: $(SCENARIO_SRC:%.c=$O/%.o) $(SIMULATED:samples/%.c=$O/simulated/%.o)

$O/bench/%.o: bench/%.c $O/flags
	@mkdir -p $(@D)
	$(call Q,CC,$<) $(CC) $(COMMON_FLAGS) -D_GNU_SOURCE -Iinclude -I. -MMD -MP -c -o $@ $<
$O/bench/plait $O/bench/plait_alone: $(STATIC)
TLS_BENCH = $(patsubst %,$O/bench/tls_%,load raw plait)
$(TLS_BENCH): $O/bench/tls.o
$(TLS_BENCH): BENCH_LIBS = $(OPENSSL_LIBS)
$O/bench/tls_plait: $(TLS_STATIC) $(STATIC)
$O/bench/uv $O/bench/uv_alone: BENCH_LIBS = -luv
$O/bench/ev $O/bench/ev_alone: BENCH_LIBS = -lev -lm
$O/bench/event $O/bench/event_alone $O/bench/bufferevent: BENCH_LIBS = -levent -levent_pthreads
$O/bench/raw $O/bench/ev $O/bench/event: $O/bench/sockets.o
LINK_BENCH = $(call Q,LINK,$@) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(BENCH_LIBS)
$(patsubst %.c,$O/%,$(wildcard bench/*_alone.c)): $O/bench/%: $O/bench/%.o $O/bench/alone.o $O/bench/main.o
	$(LINK_BENCH)
$O/bench/%: $O/bench/%.o $O/bench/main.o
	$(LINK_BENCH)

$O/tests/names/ask: $O/tests/names/ask.o $(STATIC)
	$(call Q,LINK,$@) $(CC) $(ALL_LDFLAGS) -o $@ $^

$O/tests/tls/ask: $O/tests/tls/ask.o $(TLS_SAMPLE_LIB) $(SAMPLE_LIB)
	$(call Q,LINK,$@) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(OPENSSL_LIBS)
# What the tests of programs need besides the samples.
PROGRAM_TOOLS = $(if $(HAVE_OPENSSL),$O/tests/tls/ask $O/certificates/made)

TLS_FUZZERS = $(patsubst %.c,$O/%,$(wildcard tests/fuzz_tls*.c))
LINK_FUZZER = $(call Q,LINK,$@) $(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $^
$(filter-out $(TLS_FUZZERS),$(FUZZERS)): $O/tests/fuzz_%: $O/tests/fuzz_%.o $(FUZZ_SRC:%.c=$O/%.o) $(VERIFIED)
	$(LINK_FUZZER)
$(TLS_FUZZERS): $O/tests/fuzz_%: $O/tests/fuzz_%.o $O/tests/tls_peer.o $(TLS_VERIFIED) $(VERIFIED) | $O/certificates/made
	$(LINK_FUZZER) $(OPENSSL_LIBS)

ifneq ($(filter tests check check-long check-compiled check-unit check-threads coverage coverage-simulated mutants,$(MAKECMDGOALS)),)
ifneq ($(shell pkg-config --atleast-version=0.13 check 2>/dev/null && echo yes),yes)
$(error the tests need Check and pkg-config: `make test-deps' installs them)
endif
endif

# Each check is a command that run-checks runs; it adds up what they say.  One
# more than there are processors, as some mostly wait.
RUN_CHECKS = O='$O' CC='$(CC)' CXX='$(CXX)' CFLAGS='$(CFLAGS) $(INSTRUMENT)' \
	SANITIZE='$(SANITIZE)' LIB='$(SAMPLE_LIB)' HAVE_OPENSSL='$(HAVE_OPENSSL)' \
	TLS_LIB='$(TLS_SAMPLE_LIB)' OPENSSL_LIBS='$(OPENSSL_LIBS)' \
	HARDENED='$(if $(COVERAGE),,$(HARDEN_CFLAGS) $(HARDEN_LDFLAGS))' scripts/run-checks -j $$(($(JOBS) + 1))
BUILT_LIBS = $(STATIC) $(SHARED) $(VERIFIED) $(SAMPLE_LIB) \
	$(if $(HAVE_OPENSSL),$(TLS_STATIC) $(TLS_SHARED) $(TLS_VERIFIED) $(TLS_SAMPLE_LIB))
GROWN_LIBS = $(GROWN) $(if $(HAVE_OPENSSL),$(TLS_GROWN))
# What the compiler and its flags decide; and what is the same whatever they
# are, as it is about texts, tools and layouts.
COMPILED_CHECKS = scripts/check-headers scripts/check-symbols scripts/check-hardening
COMPILED_PROGRAM_TESTS = $(filter-out $(patsubst %,tests/test_%.py,checks counts install mutate),$(PROGRAM_TESTS))
TEXT_CHECKS = scripts/check-layers scripts/check-circles scripts/check-cancel scripts/check-null \
	scripts/check-bindings scripts/check-man scripts/check-html scripts/check-claims \
	$(if $(COVERAGE),,scripts/check-growth)
# The long ones first, so that no processor waits for one of them at the end.
LONG_FIRST = $(filter $(patsubst %,$O/tests/test_%,deferred_depth torture wrap cooperator),$(TESTS))
UNIT_CHECKS = $(LONG_FIRST) $(filter-out $(LONG_FIRST),$(TESTS))

tests: $(TESTS) $(SAMPLES) $(BUILT_LIBS) $(PROGRAM_TOOLS)
check: $(TESTS) $(SAMPLES) $(BUILT_LIBS) $(PROGRAM_TOOLS) $(if $(COVERAGE),,$(GROWN_LIBS))
	$(SAY_SUITES_LEFT_OUT)
	@$(RUN_CHECKS) $(PROGRAM_TESTS) scripts/man-examples $(UNIT_CHECKS) $(COMPILED_CHECKS) $(TEXT_CHECKS)
# With another compiler or sanitizer, beside a check that was whole.
check-compiled: $(TESTS) $(SAMPLES) $(BUILT_LIBS) $(PROGRAM_TOOLS)
	$(SAY_SUITES_LEFT_OUT)
	@$(RUN_CHECKS) $(COMPILED_PROGRAM_TESTS) $(UNIT_CHECKS) $(COMPILED_CHECKS)
# What check has no time for: the same tests with more seeds.  LONG_SEEDS says
# how many; but scenarios have as many as it takes to reach all their places.
LONG_SEEDS = 2000
LONG_TESTS = lockstep lockstep_pipes points cancel_faults resolver pool file_random
check-long: check-long-random check-long-scenarios
check-long-random: $(SAMPLE_LIB) $(LONG_TESTS:%=$O/tests/test_%) $O/tests/test_client_service_model
	@PLAIT_SEEDS=$(LONG_SEEDS) $(RUN_CHECKS) $(LONG_TESTS:%=$O/tests/test_%) tests/test_file_peers.py
	@PLAIT_SEEDS=$$((50 * $(LONG_SEEDS))) $(RUN_CHECKS) $O/tests/test_client_service_model
check-long-scenarios: $O/tests/test_scenarios
	@PLAIT_SEEDS=20000 $(RUN_CHECKS) $^
	@PLAIT_SEEDS=5000 PLAIT_SCENARIO=a_name_is_reached_if_any_of_its_addresses_works \
		$(RUN_CHECKS) $^
check-unit: $(TESTS)
	$(SAY_SUITES_LEFT_OUT)
	@$(RUN_CHECKS) $(UNIT_CHECKS)
# Where there is a second thread, by what the suites say: nothing else can race.
WITH_THREADS = pthread_create|has_threads|defer_to_(thread|pool)|plait_pool_new|starters\.h
THREADED = $(patsubst tests/test_%.c,%,$(filter-out $(LEFT_OUT),$(shell grep -lE '$(WITH_THREADS)' tests/test_*.c)))
check-threads: $(THREADED:%=$O/tests/test_%)
	@$(RUN_CHECKS) $^
check-programs: $(SAMPLES) $(BUILT_LIBS) $(PROGRAM_TOOLS)
	@$(RUN_CHECKS) $(PROGRAM_TESTS)
check-cancel check-null check-bindings check-layers check-headers check-html check-claims:
	@$(RUN_CHECKS) scripts/$@
check-symbols check-circles: $(BUILT_LIBS)
	@$(RUN_CHECKS) scripts/$@
check-growth: $(BUILT_LIBS) $(GROWN_LIBS) $(if $(HAVE_OPENSSL),$O/certificates/made)
	@$(RUN_CHECKS) scripts/$@
check-abi: $(BUILT_LIBS)
	@$(RUN_CHECKS) scripts/$@
# Counts of one operation, with valgrind and strace, as tests/counts has them.
COUNTED = $O/bench/load $O/bench/plait $O/bench/plait_alone
check-counts: $(COUNTED)
	@$(RUN_CHECKS) scripts/$@
	@grep recorded $O/check/$@.log
record-counts: $(COUNTED)
	@O='$O' CC='$(CC)' CFLAGS='$(CFLAGS) $(INSTRUMENT)' scripts/check-counts record
# A million messages with descriptors, with 2,000 seeds.
check-long: check-long-descriptors
check-long-descriptors: $O/tests/test_fds_random
	@PLAIT_SEEDS=$(LONG_SEEDS) $(RUN_CHECKS) $^
# Children, five for each seed, beside system() and popen().
check-long: check-long-children
check-long-children: $O/tests/test_children
	@PLAIT_SEEDS=$$((5 * $(LONG_SEEDS))) $(RUN_CHECKS) $^
# What the library says of names, and what others say, with servers of its own.
NAMES_CHECKS = tests/names/judge.py tests/names/hostile.py
check-names: $O/tests/names/ask
	@$(RUN_CHECKS) $(NAMES_CHECKS)
	@cd $O/check && grep -h '^skipped' $(patsubst tests/names/%,%.log,$(NAMES_CHECKS)) || sed -n '/^ *[0-9][0-9]*  /p' judge.py.log
# The same changes as inotifywait tells, of 10,000 operations.  inotifywait may
# miss what is in a directory before it is watched, so this is for people to read.
check-inotifywait: $(SAMPLE_LIB)
	@PLAIT_INOTIFYWAIT=1 PLAIT_SEEDS=2000 $(RUN_CHECKS) tests/test_file_peers.py
# What testssl.sh says of a server.
check-tls: $O/samples/tls-echo $O/certificates/made
	@$(RUN_CHECKS) tests/tls/testssl.py
record-abi: $(BUILT_LIBS)
	O='$O' CC='$(CC)' HAVE_OPENSSL='$(HAVE_OPENSSL)' scripts/check-abi record
check-hardening: $(BUILT_LIBS) $(SAMPLES)
	@$(RUN_CHECKS) scripts/$@
check-man: $(BUILT_LIBS)
	@$(RUN_CHECKS) scripts/check-man scripts/man-examples

test-deps:
	@CXX='$(CXX)' scripts/test-deps

demo: $(SAMPLES)
	$O/samples/demo
bench: $(BENCH_PROGRAMS)
	@O='$O' CC='$(CC)' scripts/bench $(if $(QUICK),-q) $(BENCH)
record-bench: $(BENCH_PROGRAMS)
	@O='$O' CC='$(CC)' scripts/bench -o docs
# What made a fuzzer fail is left beside it, FUZZER-crash-..., as is what it
# has learnt and said, which the next run forgets.
FUZZ_TIME = 10
fuzz:
	$(MAKE) CC=clang SANITIZE=address,undefined,fuzzer-no-link O=$O-fuzz run-fuzz
run-fuzz: $(FUZZERS:%=run-%)
$(FUZZERS:%=run-%): run-%: %
	@f=$<; rm -rf $$f.corpus; mkdir $$f.corpus; \
	$$f -seed=1 -max_total_time=$(FUZZ_TIME) -artifact_prefix=$$f- -print_final_stats=1 \
		$$f.corpus tests/corpus/$${f##*/fuzz_} >$$f.log 2>&1 || { tail -n 60 $$f.log; exit 1; }; \
	sed -n "s,^stat::number_of_executed_units: *\(.*\),  ok      $${f##*/}: \1 inputs,p" $$f.log
coverage:
	$(MAKE) COVERAGE=1 check-unit
	scripts/coverage build-coverage
# Small mistakes, planted one at a time: which test notices each?
KIND = small
mutants: $(TESTS) $O/verify/libseam.a $(if $(HAVE_OPENSSL),$O/verify/libseam-tls.a)
	@O='$O' MUTATE_COMPILE='$(CC) $(VERIFY_FLAGS)' MUTATE_INCLUDES='$(INCLUDES) $(OPENSSL_CFLAGS)' \
		MUTATE_OBJCOPY='$(OBJCOPY)' MUTATE_LINK='$(CC) $(ALL_LDFLAGS)' \
		MUTATE_MORE='$(SCENARIO_SRC:%.c=scenarios:$O/%.o) $(SIMULATED:samples/%.c=scenarios:$O/simulated/%.o)' \
		MUTATE_HARNESS='$(HARNESS_SRC:%.c=$O/%.o)' MUTATE_LIBS='$(CHECK_LIBS)' \
		MUTATE_TLS='$(if $(HAVE_OPENSSL),$(TLS_HARNESS_SRC:%.c=$O/%.o) $O/verify/libseam-tls.a)' \
		MUTATE_TLS_LIBS='$(OPENSSL_LIBS)' \
		scripts/mutate -j $(JOBS) -k $(KIND) $(MUTATE)
# What simulations reach by themselves: those of whole programs, and the tests
# that run on the simulated kernel, of which only that part is run.
SIMULATIONS = scenarios simulation points cancel_faults cancel_points
ON_MODEL = $(filter-out $(SIMULATIONS),$(patsubst tests/test_%.c,%,$(shell grep -lE 'ON_EACH_(KERNEL|REACTOR)|^STORY.' tests/test_*.c)))
coverage-simulated:
	$(MAKE) COVERAGE=1 O=build-simulated-coverage T='$(SIMULATIONS)' check-unit
	PLAIT_REACTOR=simulated $(MAKE) COVERAGE=1 O=build-simulated-coverage T='$(ON_MODEL)' check-unit
	scripts/coverage build-simulated-coverage simulated
format-check:
	clang-format --dry-run -Werror $$(git ls-files '*.c' '*.h' '*.cc')

configure: configure.ac
	autoconf

# One page NAME.3 that says `.so man3/PAGE.3' for each further name of a page.
$(ALIAS_STAMP): $(PAGES) scripts/man-aliases $O/flags
	@rm -rf $O/man && mkdir -p $O/man/man3
	@scripts/man-aliases $O/man/man3 $(filter man/%.3,$^) && touch $@

D = $(DESTDIR)
install: all
	install -d '$D$(includedir)/plait' '$D$(libdir)' '$D$(pkgconfigdir)'
	install -m 644 $(HEADERS) '$D$(includedir)/plait'
	install -m 644 $(STATIC) '$D$(libdir)'
	install -m 755 $(SHARED) '$D$(libdir)'
	ln -sf $(notdir $(SHARED)) '$D$(libdir)/libplait.so.$(ABI)'
	ln -sf libplait.so.$(ABI) '$D$(libdir)/libplait.so'
	install -m 644 $O/plait.pc '$D$(pkgconfigdir)'
ifneq ($(HAVE_OPENSSL),)
	install -m 644 $(TLS_STATIC) '$D$(libdir)'
	install -m 755 $(TLS_SHARED) '$D$(libdir)'
	ln -sf $(notdir $(TLS_SHARED)) '$D$(libdir)/libplait-tls.so.$(TLS_ABI)'
	ln -sf libplait-tls.so.$(TLS_ABI) '$D$(libdir)/libplait-tls.so'
	install -m 644 $O/plait-tls.pc '$D$(pkgconfigdir)'
endif
	for s in 1 3 7; do install -d '$D$(mandir)'/man$$s || exit; done
	for p in $(PAGES); do install -m 644 $$p '$D$(mandir)'/man$${p##*.}/ || exit; done
	for d in common poetry $(if $(HAVE_OPENSSL),tls); do install -d '$D$(examplesdir)'/$$d || exit; done
	for f in $(EXAMPLES:samples/%=%); do \
		install -m 644 samples/$$f '$D$(examplesdir)'/$$f || exit; done
	for p in $O/man/man3/*; do test ! -f $$p || install -m 644 $$p '$D$(mandir)'/man3/ || exit; done
uninstall: $(ALIAS_STAMP)
	rm -f $(HEADERS:include/%='$D$(includedir)'/%) '$D$(libdir)'/libplait.a '$D$(libdir)'/libplait.so* \
		'$D$(libdir)'/libplait-tls.a '$D$(libdir)'/libplait-tls.so* '$D$(pkgconfigdir)'/plait.pc \
		'$D$(pkgconfigdir)'/plait-tls.pc
	for p in $(PAGES) $O/man/man3/*; do rm -f '$D$(mandir)'/man$${p##*.}/$${p##*/}; done
	for f in $(EXAMPLES:samples/%=%); do rm -f '$D$(examplesdir)'/$$f; done
	rm -f $(PAGES:man/%='$D$(htmldir)'/%.html) $(HTML_MORE:%='$D$(htmldir)'/%)
	rmdir '$D$(htmldir)' 2>/dev/null || :
	-rmdir '$D$(includedir)/plait' '$D$(examplesdir)'/* '$D$(examplesdir)' '$D$(docdir)'
# The pages for a browser, by mandoc and Python; nothing else needs them.
HTML_MORE = index.html names.html style.css
html: $O/html/index.html
$O/html/index.html: $(PAGES) $(HEADERS) man/index.txt man/style.css scripts/man-html \
		scripts/man-aliases scripts/plaitheaders.py scripts/plaitpages.py
	$(call Q,HTML,$@) scripts/man-html $(@D)
install-html: html
	install -d '$D$(htmldir)'
	install -m 644 $O/html/* '$D$(htmldir)'

clean:
	rm -rf build build-*

help:
	@sed -n 's/^#? \{0,1\}//p' Makefile
#? make              the libraries, the samples and plait.pc, in build/; libplait-tls where OpenSSL 3 is
#? make test-deps    installs what the tests need, with apt-get; elsewhere says what that is
#? make check        every test; ends in `N passed, N failed'
#? make tests        builds what check runs
#? make check-compiled    of these what another compiler, sanitizer or flag may change
#? make check-unit   the Check programs; T=deferred runs tests/test_deferred.c alone
#? make check-threads    those of the Check programs that may have a second thread, for SANITIZE=thread
#? make check-long   more random scripts and seeds than check has time for
#? make check-programs, -headers, -layers, -symbols, -circles, -cancel, -null, -bindings, -man, -html, -claims, -hardening, -growth    one kind of check each
#? make check-abi    what programs see is as libplait.abi says; record-abi writes that anew
#? make check-counts    no operation needs more instructions or system calls than tests/counts says; record-counts
#?                   writes that anew; both need valgrind and strace
#? make check-names  the same answers as dig and getent, in a namespace with servers; and a hostile server
#? make check-tls    what testssl.sh says of a server with TLS
#? make check-inotifywait    what inotifywait tells of 10,000 random changes
#? make demo         the poetry proxy cancels a download because its client hung up
#? make bench        plait next to other libraries; BENCH=poem does one work, QUICK=1 few slices; record-bench writes docs/BENCH.md
#? make coverage     what the tests reach;  make coverage-simulated   what simulations do
#? make fuzz         libFuzzer on tests/fuzz_*.c, each for FUZZ_TIME=10 seconds; needs clang
#? make mutants      plants small mistakes, one at a time, and says which test notices each;
#?                   KIND=network, cancel or all; MUTATE='lib/buf.c', '--check' and more: scripts/mutate -h
#? make html         the pages for a browser, in build/html/index.html;  make install-html
#? make format-check what clang-format would change
#? make install, uninstall, clean, help
#? make configure    ./configure from configure.ac; optional, writes config.mak.autogen
#?
#? prefix libdir includedir mandir docdir htmldir DESTDIR    where things go ($(prefix) is /usr/local)
#? HAVE_OPENSSL=  without libplait-tls
#? CC CXX CFLAGS LDFLAGS    compilers and their flags; changed flags rebuild
#? V=1            show the commands
#? DEVELOPER=1    every warning, and each is an error
#? SANITIZE=address,undefined or thread    in a build directory of its own
#? COVERAGE=1     the same, for gcov
#? O=DIR          the build directory;  JOBS=N   how many checks run at once

-include $(shell test -d $O && find $O -name '*.d')
