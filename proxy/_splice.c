/* Heads passed on without being taken apart: proxy/splicing.py, compiled.
 *
 * The rules and the reasons are there; that module works without this one, and the same tests hold
 * both to it. Here: one pass over the bytes, which are read only between `at` and `end`, into a
 * buffer of fixed size.
 */

#include "_fields.h"

#define LONGEST 8192 /* bytes of a head */
#define LONGEST_HOST 1024
#define MOST_LINES 128
#define LONGEST_NOTED 1024 /* bytes of lines */

typedef enum { PASSED, DROPPED, REFUSED, CONNECTION, LENGTH, DATE, HOST } Role;

typedef struct {
    PyObject_HEAD
    PyObject *host; /* bytes in place of the line Host; empty to let it pass */
    Names names;    /* `more`: the line is noted */
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
        const Name *found = find_name(&self->names, name, colon - name);
        if (found != NULL && found->more && !note(pass, name, colon - name, value, last - value))
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

static int
add_all(Splicer *self, PyObject *names, Role role)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++)
        if (add_name(&self->names, PyTuple_GET_ITEM(names, i), role, 0) == NULL)
            return -1;
    return 0;
}

/* Note these as well, whatever else becomes of them. */
static int
note_all(Splicer *self, PyObject *names)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
        PyObject *text = PyTuple_GET_ITEM(names, i);
        Name *name = NULL;
        if (PyBytes_Check(text))
            name = (Name *)find_name(&self->names, (unsigned char *)PyBytes_AS_STRING(text),
                                     PyBytes_GET_SIZE(text));
        if (name == NULL)
            name = add_name(&self->names, text, PASSED, 1);
        if (name == NULL)
            return -1;
        name->more = 1;
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
    no_names(&self->names);
    self->host = Py_NewRef(host);
    /* The last that is added of a name holds. */
    if (add_named(&self->names, "content-length", LENGTH, 0) == NULL
        || add_named(&self->names, "date", DATE, 0) == NULL
        || add_named(&self->names, "host", HOST, 0) == NULL || add_all(self, dropped, DROPPED) < 0
        || add_named(&self->names, "connection", CONNECTION, 0) == NULL
        || add_all(self, refused, REFUSED) < 0 || note_all(self, noted) < 0) {
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
    fill_tables("!#$%&'*+-.^_`|~");
    return add_type(module, &spec);
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
