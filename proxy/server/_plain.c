/* Plain request heads, known for what they are in one look: proxy/server/plain.py, compiled.
 *
 * The grammar, the gist and the reasons are there; that module works without this one, and the same
 * tests hold both to it. Here: one pass over the bytes, which are read only between `at` and `end`,
 * and of which nothing is kept but copies.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>
#include <string.h>
#include <structmember.h>

#define FIXED 3         /* members of a gist before the watched fields: method, target, Host */
#define MOST_NAMES 128  /* special field names of one scanner */
#define LONGEST_NAME 64 /* bytes of a special field name; longer ones are none */

enum { TCHAR = 1, VALUE = 2, TARGET = 4 };

static unsigned char classes[256];
static unsigned char lower[256];

static void
fill_tables(void)
{
    static const char others[] = "!#$%&'*+-.^`|~"; /* of names; less the underscore: see plain */
    for (int c = 0; c < 256; c++) {
        int digit = c >= '0' && c <= '9';
        int capital = c >= 'A' && c <= 'Z';
        int small = c >= 'a' && c <= 'z';
        lower[c] = (unsigned char)(capital ? c + ('a' - 'A') : c);
        classes[c] = 0;
        if (digit || capital || small || (c != 0 && strchr(others, c) != NULL))
            classes[c] |= TCHAR;
        if (c == '\t' || (c >= ' ' && c <= '~') || c >= 0x80)
            classes[c] |= VALUE;
        if (((c >= '!' && c <= '~') || c >= 0x80) && c != '#')
            classes[c] |= TARGET;
    }
}

typedef enum { REFUSED, CONNECTION, BY_VALUE, BY_PRESENCE } Role;

typedef struct {
    unsigned char text[LONGEST_NAME]; /* in lower case */
    unsigned char length;
    unsigned char role;
    signed char next; /* another name of the same length, -1 for none */
    short member;     /* of the gist */
} Name;

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    Py_ssize_t longest;
    Py_ssize_t lines;
    Py_ssize_t members;
    PyObject *get, *head, *empty;
    signed char first[LONGEST_NAME + 1]; /* by length, -1 for none */
    int count;
    Name names[MOST_NAMES];
} Scanner;

/* The special name that these bytes are in any case, or NULL. */
static const Name *
find(const Scanner *self, const unsigned char *text, Py_ssize_t length)
{
    if (length > LONGEST_NAME)
        return NULL;
    for (int i = self->first[length]; i >= 0; i = self->names[i].next) {
        const Name *name = &self->names[i];
        Py_ssize_t same = 0;
        while (same < length && lower[text[same]] == name->text[same])
            same++;
        if (same == length)
            return name;
    }
    return NULL;
}

static int
is_keep_alive(const unsigned char *at, const unsigned char *end)
{
    static const char wanted[] = "keep-alive";
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    while (at < end && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    if (end - at != (Py_ssize_t)sizeof wanted - 1)
        return 0;
    for (size_t i = 0; i < sizeof wanted - 1; i++)
        if (lower[at[i]] != (unsigned char)wanted[i])
            return 0;
    return 1;
}

/* Put a new reference, unless there is one: a field may come once. Steals it; 0 where it may not. */
static int
put(PyObject *gist, Py_ssize_t member, PyObject *value)
{
    if (value == NULL)
        return 0;
    if (PyTuple_GET_ITEM(gist, member) != NULL) {
        Py_DECREF(value);
        return 0;
    }
    PyTuple_SET_ITEM(gist, member, value);
    return 1;
}

static PyObject *
slice(const unsigned char *from, const unsigned char *to)
{
    return PyBytes_FromStringAndSize((const char *)from, to - from);
}

/* Fill the gist; 0 where this is no plain head, or an exception is set. */
static int
read_head(const Scanner *self, PyObject *gist, const unsigned char *at, const unsigned char *end)
{
    static const char version[] = " HTTP/1.1\r\n";
    PyObject *method;
    if (end - at > 5 && memcmp(at, "GET /", 5) == 0) {
        method = self->get;
        at += 4;
    }
    else if (end - at > 6 && memcmp(at, "HEAD /", 6) == 0) {
        method = self->head;
        at += 5;
    }
    else
        return 0;
    const unsigned char *start = at;
    while (at < end && (classes[*at] & TARGET))
        at++;
    if (end - at < (Py_ssize_t)sizeof version - 1 || memcmp(at, version, sizeof version - 1) != 0)
        return 0;
    if (!put(gist, 0, Py_NewRef(method)) || !put(gist, 1, slice(start, at)))
        return 0;
    at += sizeof version - 1;

    for (Py_ssize_t lines = 0; end - at >= 2; lines++) {
        if (at[0] == '\r')
            return at[1] == '\n' && end - at == 2 && PyTuple_GET_ITEM(gist, 2) != NULL;
        if (lines == self->lines)
            return 0;
        const unsigned char *name = at;
        while (at < end && (classes[*at] & TCHAR))
            at++;
        if (at == name || at == end || *at != ':')
            return 0;
        const Name *special = find(self, name, at - name);
        const unsigned char *value = ++at;
        while (at < end && (classes[*at] & VALUE))
            at++;
        if (end - at < 2 || at[0] != '\r' || at[1] != '\n')
            return 0;
        if (special != NULL) {
            switch ((Role)special->role) {
            case REFUSED:
                return 0;
            case CONNECTION:
                if (!is_keep_alive(value, at))
                    return 0;
                break;
            case BY_VALUE:
                if (!put(gist, special->member, slice(value, at)))
                    return 0;
                break;
            case BY_PRESENCE:
                if (!put(gist, special->member, Py_NewRef(self->empty)))
                    return 0;
                break;
            }
        }
        at += 2;
    }
    return 0;
}

static PyObject *
scan(PyObject *callable, PyObject *const *arguments, size_t flags, PyObject *keywords)
{
    const Scanner *self = (const Scanner *)callable;
    if (PyVectorcall_NARGS(flags) != 1 || (keywords != NULL && PyTuple_GET_SIZE(keywords) != 0)
        || !PyBytes_Check(arguments[0])) {
        PyErr_SetString(PyExc_TypeError, "a scanner takes the bytes of one head");
        return NULL;
    }
    Py_ssize_t size = PyBytes_GET_SIZE(arguments[0]);
    if (size > self->longest)
        Py_RETURN_NONE;
    PyObject *gist = PyTuple_New(self->members);
    if (gist == NULL)
        return NULL;
    const unsigned char *data = (const unsigned char *)PyBytes_AS_STRING(arguments[0]);
    if (!read_head(self, gist, data, data + size)) {
        Py_DECREF(gist);
        if (PyErr_Occurred())
            return NULL;
        Py_RETURN_NONE;
    }
    for (Py_ssize_t i = FIXED; i < self->members; i++)
        if (PyTuple_GET_ITEM(gist, i) == NULL)
            PyTuple_SET_ITEM(gist, i, Py_NewRef(Py_None));
    return gist;
}

/* One more special name; -1 with an exception set where it cannot be one. */
static int
add(Scanner *self, PyObject *text, Role role, Py_ssize_t member)
{
    if (!PyBytes_Check(text)) {
        PyErr_SetString(PyExc_TypeError, "names are bytes");
        return -1;
    }
    Py_ssize_t length = PyBytes_GET_SIZE(text);
    if (length == 0 || length > LONGEST_NAME || self->count == MOST_NAMES) {
        PyErr_SetString(PyExc_ValueError, "an empty or long name, or too many of them");
        return -1;
    }
    Name *name = &self->names[self->count];
    memcpy(name->text, PyBytes_AS_STRING(text), (size_t)length);
    name->length = (unsigned char)length;
    name->role = (unsigned char)role;
    name->member = (short)member;
    name->next = self->first[length];
    self->first[length] = (signed char)self->count++;
    return 0;
}

static int
add_all(Scanner *self, PyObject *names, Role role)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
        Py_ssize_t member = role == REFUSED ? 0 : self->members++;
        if (add(self, PyTuple_GET_ITEM(names, i), role, member) < 0)
            return -1;
    }
    return 0;
}

static int
fill(Scanner *self, PyObject *refused, PyObject *present, PyObject *values)
{
    memset(self->first, -1, sizeof self->first);
    self->members = FIXED;
    self->get = PyBytes_FromString("GET");
    self->head = PyBytes_FromString("HEAD");
    self->empty = PyBytes_FromString("");
    PyObject *host = PyBytes_FromString("host"), *connection = PyBytes_FromString("connection");
    int done = -1;
    if (self->get != NULL && self->head != NULL && self->empty != NULL && host != NULL
        && connection != NULL && add(self, host, BY_VALUE, FIXED - 1) == 0
        && add(self, connection, CONNECTION, 0) == 0)
        done = 0;
    Py_XDECREF(host);
    Py_XDECREF(connection);
    if (done == 0 && add_all(self, refused, REFUSED) == 0
        && add_all(self, present, BY_PRESENCE) == 0)
        return add_all(self, values, BY_VALUE);
    return -1;
}

static PyObject *
create(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"refused", "present", "values", "longest", "lines", NULL};
    PyObject *refused, *present, *values;
    Py_ssize_t longest, lines;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "$O!O!O!nn:Scanner", names,
                                     &PyTuple_Type, &refused, &PyTuple_Type, &present,
                                     &PyTuple_Type, &values, &longest, &lines))
        return NULL;
    Scanner *self = (Scanner *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->vectorcall = scan;
    self->longest = longest;
    self->lines = lines;
    if (fill(self, refused, present, values) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void
destroy(PyObject *object)
{
    Scanner *self = (Scanner *)object;
    PyTypeObject *type = Py_TYPE(object);
    Py_XDECREF(self->get);
    Py_XDECREF(self->head);
    Py_XDECREF(self->empty);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Scanner, vectorcall), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Scanner(*, refused, present, values, longest, lines): from one plain head to its "
                "gist, else None; see proxy.server.plain."},
    {Py_tp_new, create},
    {Py_tp_dealloc, destroy},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, members},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "proxy.server._plain.Scanner",
    .basicsize = sizeof(Scanner),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

static int
execute(PyObject *module)
{
    fill_tables();
    PyObject *type = PyType_FromModuleAndSpec(module, &spec, NULL);
    int done = type == NULL ? -1 : PyModule_AddType(module, (PyTypeObject *)type);
    Py_XDECREF(type);
    return done;
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, execute},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_plain",
    .m_doc = "See proxy.server.plain.",
    .m_size = 0,
    .m_slots = module_slots,
};

PyMODINIT_FUNC
PyInit__plain(void)
{
    return PyModuleDef_Init(&definition);
}
