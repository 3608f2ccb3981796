/* Heads passed on without being taken apart: proxy/splicing.py, compiled.
 *
 * The rules and the reasons are there; that module works without this one, and the same tests hold
 * both to it. Here: one pass over the bytes, which are read only between `at` and `end`, into a
 * buffer of fixed size.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>
#include <string.h>

#define LONGEST 8192  /* bytes of a head */
#define LONGEST_HOST 1024
#define MOST_LINES 128
#define MOST_NAMES 64 /* special field names of one splicer */
#define LONGEST_NAME 64
#define LONGEST_NOTED 1024 /* bytes of lines */

enum { TCHAR = 1, VALUE = 2, DIGIT = 4 };

static unsigned char classes[256];
static unsigned char lower[256];

static void
fill_tables(void)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (int c = 0; c < 256; c++) {
        int digit = c >= '0' && c <= '9';
        int capital = c >= 'A' && c <= 'Z';
        int small = c >= 'a' && c <= 'z';
        lower[c] = (unsigned char)(capital ? c + ('a' - 'A') : c);
        classes[c] = (unsigned char)(digit ? DIGIT : 0);
        if (digit || capital || small || (c != 0 && strchr(others, c) != NULL))
            classes[c] |= TCHAR;
        if (c == '\t' || (c >= ' ' && c <= '~') || c >= 0x80)
            classes[c] |= VALUE;
    }
}

typedef enum { PASSED, DROPPED, REFUSED, CONNECTION, LENGTH, DATE, HOST } Role;

typedef struct {
    unsigned char text[LONGEST_NAME]; /* in lower case */
    unsigned char length;
    unsigned char role;
    unsigned char noted;
    signed char next; /* another name of the same length, -1 for none */
} Name;

typedef struct {
    PyObject_HEAD
    signed char first[LONGEST_NAME + 1]; /* by length, -1 for none */
    int count;
    PyObject *host; /* bytes in place of the line Host; empty to let it pass */
    Name names[MOST_NAMES];
} Splicer;

/* What is found out about a head on the way. */
typedef struct {
    const unsigned char *at, *end;
    unsigned char *out;
    Py_ssize_t length; /* Content-Length; -1 for none */
    int dated, hosts;
    Py_ssize_t noted_size;
    unsigned char noted[LONGEST_NOTED];
} Pass;

/* Each line may get a blank, the status line too, and one line may become another. */
typedef unsigned char Buffer[LONGEST + MOST_LINES + 1 + LONGEST_HOST];

/* What is special about a field; NULL for nothing. */
static const Name *
special(const Splicer *self, const unsigned char *text, Py_ssize_t length)
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
    if (end - at != (Py_ssize_t)sizeof wanted - 1)
        return 0;
    for (size_t i = 0; i < sizeof wanted - 1; i++)
        if (lower[at[i]] != (unsigned char)wanted[i])
            return 0;
    return 1;
}

/* A number as it is written again, or -1. */
static Py_ssize_t
number(const unsigned char *at, const unsigned char *end)
{
    if (at == end || end - at > 15 || (*at == '0' && end - at > 1))
        return -1;
    Py_ssize_t found = 0;
    for (; at < end; at++) {
        if (!(classes[*at] & DIGIT))
            return -1;
        found = 10 * found + (*at - '0');
    }
    return found;
}

static void
begin(Pass *pass, const unsigned char *at, const unsigned char *end, unsigned char *out)
{
    pass->at = at;
    pass->end = end;
    pass->out = out;
    pass->length = -1;
    pass->dated = pass->hosts = 0;
    pass->noted_size = 0;
}

static void
copy(Pass *pass, const void *from, Py_ssize_t size)
{
    memcpy(pass->out, from, (size_t)size);
    pass->out += size;
}

/* Add a line to what is noted; 0 where there is no room for it. */
static int
note(Pass *pass, const unsigned char *name, Py_ssize_t name_length, const unsigned char *value,
     Py_ssize_t length)
{
    if (name_length + length + 4 > LONGEST_NOTED - pass->noted_size)
        return 0;
    unsigned char *at = pass->noted + pass->noted_size;
    memcpy(at, name, (size_t)name_length);
    memcpy(at + name_length, ": ", 2);
    memcpy(at + name_length + 2, value, (size_t)length);
    memcpy(at + name_length + 2 + length, "\r\n", 2);
    pass->noted_size += name_length + length + 4;
    return 1;
}

/* Copy the field lines up to the empty line, which is read and left out; 0 where one is refused. */
static int
pass_lines(const Splicer *self, Pass *pass)
{
    const unsigned char *at = pass->at, *end = pass->end;
    for (int lines = 0; end - at >= 2; lines++) {
        if (at[0] == '\r') {
            pass->at = at + 2;
            return at[1] == '\n';
        }
        if (lines == MOST_LINES)
            return 0;
        const unsigned char *name = at;
        while (at < end && (classes[*at] & TCHAR))
            at++;
        if (at == name || at == end || *at != ':')
            return 0;
        const unsigned char *colon = at++;
        while (at < end && (*at == ' ' || *at == '\t'))
            at++;
        const unsigned char *value = at;
        while (at < end && (classes[*at] & VALUE))
            at++;
        if (end - at < 2 || at[0] != '\r' || at[1] != '\n')
            return 0;
        const unsigned char *last = at;
        while (last > value && (last[-1] == ' ' || last[-1] == '\t'))
            last--;
        at += 2;
        const Name *found = special(self, name, colon - name);
        if (found != NULL && found->noted && !note(pass, name, colon - name, value, last - value))
            return 0;
        switch (found == NULL ? PASSED : (Role)found->role) {
        case REFUSED:
            return 0;
        case DROPPED:
            continue;
        case CONNECTION:
            if (!is_keep_alive(value, last))
                return 0;
            continue;
        case LENGTH:
            if (pass->length >= 0 || (pass->length = number(value, last)) < 0)
                return 0;
            break;
        case DATE:
            pass->dated = 1;
            break;
        case HOST:
            if (pass->hosts++)
                return 0;
            if (PyBytes_GET_SIZE(self->host) > 0) {
                copy(pass, PyBytes_AS_STRING(self->host), PyBytes_GET_SIZE(self->host));
                continue;
            }
            break;
        case PASSED:
            break;
        }
        copy(pass, name, colon - name);
        copy(pass, ": ", 2);
        copy(pass, value, last - value);
        copy(pass, "\r\n", 2);
    }
    return 0;
}

/* The number of bytes of a head that may be copied; -1 with an exception set for no bytes. */
static Py_ssize_t
readable(PyObject *data)
{
    if (!PyBytes_Check(data)) {
        PyErr_SetString(PyExc_TypeError, "a splicer takes bytes");
        return -1;
    }
    Py_ssize_t size = PyBytes_GET_SIZE(data);
    return size > LONGEST ? LONGEST : size;
}

static PyObject *
request(PyObject *object, PyObject *data)
{
    const Splicer *self = (const Splicer *)object;
    Py_ssize_t size = readable(data);
    if (size < 0)
        return NULL;
    Buffer buffer;
    const unsigned char *start = (const unsigned char *)PyBytes_AS_STRING(data);
    const unsigned char *newline = memchr(start, '\n', (size_t)size);
    if (size != PyBytes_GET_SIZE(data) || newline == NULL)
        Py_RETURN_NONE;
    Pass pass;
    begin(&pass, newline + 1, start + size, buffer);
    copy(&pass, start, newline + 1 - start);
    if (!pass_lines(self, &pass) || pass.at != pass.end || pass.length >= 0)
        Py_RETURN_NONE;
    return PyBytes_FromStringAndSize((const char *)buffer, pass.out - buffer);
}

static PyObject *
response(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    static const char version[] = "HTTP/1.1 ";
    const Splicer *self = (const Splicer *)object;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "response(data, head_only)");
        return NULL;
    }
    Py_ssize_t size = readable(arguments[0]);
    int bodiless = PyObject_IsTrue(arguments[1]);
    if (size < 0 || bodiless < 0)
        return NULL;
    Buffer buffer;
    const unsigned char *start = (const unsigned char *)PyBytes_AS_STRING(arguments[0]);
    const unsigned char *at = start + sizeof version - 1, *end = start + size;
    Pass pass;
    begin(&pass, NULL, end, buffer);
    if (size < 16 || memcmp(start, version, sizeof version - 1) != 0 || at[0] < '2' || at[0] > '9'
        || !(classes[at[1]] & DIGIT) || !(classes[at[2]] & DIGIT))
        Py_RETURN_NONE;
    int status = 100 * (at[0] - '0') + 10 * (at[1] - '0') + (at[2] - '0');
    at += 3;
    copy(&pass, start, at - start);
    const unsigned char *reason = at;
    while (at < end && (classes[*at] & VALUE))
        at++;
    if (end - at < 2 || at[0] != '\r' || at[1] != '\n' || (at > reason && *reason != ' '))
        Py_RETURN_NONE;
    copy(&pass, at > reason ? reason : (const unsigned char *)" ", at > reason ? at - reason : 1);
    copy(&pass, "\r\n", 2);
    pass.at = at + 2;
    if (!pass_lines(self, &pass))
        Py_RETURN_NONE;
    bodiless |= status == 204 || status == 304;
    Py_ssize_t content = PyBytes_GET_SIZE(arguments[0]) - (pass.at - start);
    if (content != (bodiless ? 0 : pass.length) || (bodiless && pass.length > 0)
        || (status == 204 && pass.length == 0))
        Py_RETURN_NONE;
    PyObject *length = bodiless ? Py_NewRef(Py_None) : PyLong_FromSsize_t(content);
    if (length == NULL)
        return NULL;
    return Py_BuildValue("(y#niNOy#)", buffer, pass.out - buffer, pass.at - start, status, length,
                         pass.dated ? Py_True : Py_False, pass.noted, pass.noted_size);
}

/* One more special name; -1 with an exception set where it cannot be one. */
static int
add(Splicer *self, const char *text, Py_ssize_t length, Role role)
{
    if (length == 0 || length > LONGEST_NAME || self->count == MOST_NAMES) {
        PyErr_SetString(PyExc_ValueError, "an empty or long name, or too many of them");
        return -1;
    }
    Name *name = &self->names[self->count];
    memcpy(name->text, text, (size_t)length);
    name->length = (unsigned char)length;
    name->role = (unsigned char)role;
    name->noted = 0;
    name->next = self->first[length];
    self->first[length] = (signed char)self->count++;
    return 0;
}

static int
add_all(Splicer *self, PyObject *names, Role role)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
        char *text;
        Py_ssize_t length;
        if (PyBytes_AsStringAndSize(PyTuple_GET_ITEM(names, i), &text, &length) < 0
            || add(self, text, length, role) < 0)
            return -1;
    }
    return 0;
}

/* Note these as well, whatever else becomes of them. */
static int
note_all(Splicer *self, PyObject *names)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
        char *text;
        Py_ssize_t length;
        if (PyBytes_AsStringAndSize(PyTuple_GET_ITEM(names, i), &text, &length) < 0)
            return -1;
        Name *name = (Name *)special(self, (const unsigned char *)text, length);
        if (name == NULL) {
            if (add(self, text, length, PASSED) < 0)
                return -1;
            name = &self->names[self->count - 1];
        }
        name->noted = 1;
    }
    return 0;
}

static PyObject *
create(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"dropped", "refused", "noted", "host", NULL};
    PyObject *dropped, *refused, *noted, *host;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "$O!O!O!S:Splicer", names, &PyTuple_Type,
                                     &dropped, &PyTuple_Type, &refused, &PyTuple_Type, &noted,
                                     &host))
        return NULL;
    if (PyBytes_GET_SIZE(host) > LONGEST_HOST) {
        PyErr_SetString(PyExc_ValueError, "a line that is too long");
        return NULL;
    }
    Splicer *self = (Splicer *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    memset(self->first, -1, sizeof self->first);
    self->host = Py_NewRef(host);
    if (add_all(self, refused, REFUSED) < 0 || add_all(self, dropped, DROPPED) < 0
        || add(self, "connection", 10, CONNECTION) < 0
        || add(self, "content-length", 14, LENGTH) < 0 || add(self, "date", 4, DATE) < 0
        || add(self, "host", 4, HOST) < 0 || note_all(self, noted) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void
destroy(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    Py_XDECREF(((Splicer *)object)->host);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"request", request, METH_O, "See proxy.splicing."},
    {"response", (PyCFunction)(void (*)(void))response, METH_FASTCALL, "See proxy.splicing."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Splicer(*, dropped, refused, noted, host): see proxy.splicing."},
    {Py_tp_new, create},
    {Py_tp_dealloc, destroy},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "proxy._splice.Splicer",
    .basicsize = sizeof(Splicer),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
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
    .m_name = "_splice",
    .m_doc = "See proxy.splicing.",
    .m_size = 0,
    .m_slots = module_slots,
};

PyMODINIT_FUNC
PyInit__splice(void)
{
    return PyModuleDef_Init(&definition);
}
