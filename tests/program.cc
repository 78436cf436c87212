/*
 * A program in C++20 that uses what is harder from C++ than from C: tables of
 * lambdas, protocols that own C++ objects, a wrapper, a reconnecting factory, a
 * value with a destructor, handles that free themselves.  It talks to itself
 * over loopback, says what it did, and ends.  test_cxx.py builds and runs it.
 */
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include <plait/plait.h>

/* ---- handles ------------------------------------------------------------- */

/* Owns a handle, and ends it with the function that takes its address. */
template <typename T, void (*end)(T **)> class handle
{
      public:
	explicit handle(T *p = nullptr) : p_(p)
	{
	}
	handle(handle &&other) noexcept : p_(std::exchange(other.p_, nullptr))
	{
	}
	handle &operator=(handle &&other) noexcept
	{
		std::swap(p_, other.p_);
		return *this;
	}
	~handle()
	{
		if (p_ != nullptr)
			end(&p_);
	}
	T *get() const
	{
		return p_;
	}
	T **address()
	{
		return &p_;
	}

      private:
	T *p_;
};

static void free_deferred(plait_deferred **dp)
{
	plait_deferred_free(dp);
}

using reactor = handle<plait_reactor, plait_reactor_free>;
using port = handle<plait_port, plait_port_free>;
using deferred = handle<plait_deferred, free_deferred>;

/* ---- a value that owns a C++ object -------------------------------------- */

using words = std::vector<std::string>;

static const plait_type words_type = {
	.name = "words",
	.free = [](void *p) { delete static_cast<words *>(p); },
};

static plait_value words_value(std::unique_ptr<words> w)
{
	return plait_value_make(&words_type, w.release());
}

/* ---- C++ objects in what the library allocates --------------------------- */

static int constructed, destroyed;

/* Shows that what stands in a protocol is constructed, and destroyed once. */
struct witness {
	witness()
	{
		constructed++;
	}
	~witness()
	{
		destroyed++;
	}
	witness(const witness &) = delete;
	witness &operator=(const witness &) = delete;
};

template <typename T, typename Base> int construct(Base *p)
{
	try {
		new (p) T{};
		return 0;
	} catch (const std::bad_alloc &) {
		return -ENOMEM;
	}
}

/* A server's connection, derived from the receiver. */
struct chat : plait_line_receiver {
	std::string name = "a name that is too long to need no memory";
	witness w;
};

static void chat_line(plait_line_receiver *p, const char *line, size_t len)
{
	chat *self = static_cast<chat *>(p);

	if (len > 5 && std::string(line, 5) == "name ")
		self->name.assign(line + 5, len - 5);
	const std::string answer = "hello " + self->name;
	plait_line_receiver_send_line(p, answer.data(), answer.size());
}

static const plait_line_receiver_ops chat_ops = {
	.base = { .name = "chat",
		  .size = sizeof(chat),
		  .init = construct<chat, plait_protocol>,
		  .data_received = plait_line_receiver_data_received,
		  .done =
			  [](plait_protocol *p) {
				  plait_line_receiver_done(p);
				  plait_self(p, chat)->~chat();
			  },
		  .base_size = sizeof(plait_line_receiver) },
	.line_received = chat_line,
};

/* A client's connection, with the receiver as its first member. */
struct greeter {
	plait_line_receiver base;
	words heard;
	witness w;
};

/* It reconnects until the second connection has heard what it wants. */
struct client : plait_reconnecting_factory {
	plait_promise *promise = nullptr;
	unsigned connections = 0;
};

static void send_line(greeter *self, const std::string &line)
{
	plait_line_receiver_send_line(&self->base, line.data(), line.size());
}

static void greeter_made(plait_protocol *p)
{
	greeter *self = plait_self(p, greeter);
	client *c = plait_self(p->factory, client);

	plait_reconnecting_factory_reset_delay(c);
	send_line(self, "name " + std::to_string(++c->connections));
}

static void greeter_line(plait_line_receiver *p, const char *line, size_t len)
{
	greeter *self = plait_self(p, greeter);
	client *c = plait_self(p->base.factory, client);

	self->heard.emplace_back(line, len);
	if (self->heard.size() < 2) {
		send_line(self, "again");
		return;
	}
	if (c->connections == 2)
		plait_fire(&c->promise, words_value(std::make_unique<words>(
						std::move(self->heard))));
	plait_transport_lose_connection(p->base.transport);
}

static const plait_line_receiver_ops greeter_ops = {
	.base = { .name = "greeter",
		  .size = sizeof(greeter),
		  .init = construct<greeter, plait_protocol>,
		  .connection_made = greeter_made,
		  .data_received = plait_line_receiver_data_received,
		  .done =
			  [](plait_protocol *p) {
				  plait_line_receiver_done(p);
				  plait_self(p, greeter)->~greeter();
			  },
		  .base_size = sizeof(plait_line_receiver) },
	.line_received = greeter_line,
};

static const plait_factory_ops client_ops = {
	.name = "client",
	PLAIT_RECONNECTING_FACTORY,
};

/* ---- a wrapper ----------------------------------------------------------- */

static std::string received_by_server;

struct recorder : plait_wrapper {
	std::string received;
	witness w;
};

static const plait_protocol_ops recorder_ops = {
	.name = "recorder",
	.size = sizeof(recorder),
	.init = construct<recorder, plait_protocol>,
	.connection_made = plait_wrapper_connection_made,
	.data_received =
		[](plait_protocol *p, const void *data, size_t len) {
			plait_self(p, recorder)
				->received.append(
					static_cast<const char *>(data), len);
			plait_wrapper_data_received(p, data, len);
		},
	.done =
		[](plait_protocol *p) {
			recorder *self = plait_self(p, recorder);

			received_by_server += self->received;
			plait_wrapper_done(p);
			self->~recorder();
		},
	.base_size = sizeof(plait_wrapper),
	.read_connection_lost = plait_wrapper_read_connection_lost,
	.write_connection_lost = plait_wrapper_write_connection_lost,
};

static const plait_factory_ops recording_ops = {
	.name = "recording",
	PLAIT_WRAPPING_FACTORY,
};

/* ---- a constructor that fails -------------------------------------------- */

struct refuser {
	plait_protocol base;
	witness w;
	refuser() : base{}
	{
		throw std::bad_alloc();
	}
};

static void refuse()
{
	static const plait_protocol_ops ops = {
		.name = "refuser",
		.size = sizeof(refuser),
		.init = construct<refuser, plait_protocol>,
		.done = [](plait_protocol *) { std::puts("done is called"); },
	};

	errno = 0;
	if (plait_protocol_new(&ops) == nullptr && errno == ENOMEM)
		std::puts("no memory");
}

/* ---- all of it ----------------------------------------------------------- */

/* The state of a callback goes in through arg. */
struct run {
	plait_reactor *r;
	client *c;
	int calls;
};

static void converse()
{
	plait_factory chats = {};
	plait_wrapping_factory recording = {};
	client c{};
	reactor r(plait_reactor_new(nullptr));
	plait_port *listening = nullptr;
	plait_address address;
	run state = { r.get(), &c, 0 };

	chats.protocol = &chat_ops.base;
	recording.base.ops = &recording_ops;
	recording.base.protocol = &recorder_ops;
	recording.inner = &chats;
	if (plait_listen_tcp(r.get(), 0, &recording.base, nullptr, &listening) <
	    0)
		std::abort();
	port p(listening);
	plait_port_host(p.get(), &address);

	c.base.ops = &client_ops;
	c.base.protocol = &greeter_ops.base;
	c.backoff.initial_delay = 0.001;
	deferred d(plait_deferred_new(&c.promise, nullptr, nullptr));
	plait_deferred_add_callback(
		d.get(),
		[](plait_value *v, void *arg) {
			run *own = static_cast<run *>(arg);
			auto *w = static_cast<words *>(
				plait_value_get(v, &words_type));

			for (const std::string &word : *w)
				std::puts(word.c_str());
			own->calls++;
			plait_reconnecting_factory_stop_trying(own->c);
			plait_reactor_stop(own->r);
			return PLAIT_NONE;
		},
		&state);
	plait_connect_tcp(r.get(), "127.0.0.1", plait_address_port(&address),
			  &c.base, nullptr);
	plait_reactor_run(r.get());
	std::printf("%d call, %u connections\n", state.calls, c.connections);
}

int main()
{
	refuse();
	converse();
	std::fputs(received_by_server.c_str(), stdout);
	std::printf("%d constructed, %d destroyed\n", constructed, destroyed);
	return 0;
}
